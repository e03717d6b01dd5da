"""The addresses of responses and conversations."""

from webapp.api.addresses import Methods
from webapp.api.responses import conversations, handlers

ADDRESSES: dict[str, Methods] = {
    "/v1/responses": {"POST": handlers.create},
    "/v1/responses/input_tokens": {"POST": handlers.input_tokens},
    "/v1/responses/compact": {"POST": handlers.compact},
    "/v1/responses/{id}": {"GET": handlers.retrieve, "DELETE": handlers.delete},
    "/v1/responses/{id}/cancel": {"POST": handlers.cancel},
    "/v1/responses/{id}/input_items": {"GET": handlers.input_items},
    "/v1/conversations": {"POST": conversations.create},
    "/v1/conversations/{id}": {
        "GET": conversations.retrieve,
        "POST": conversations.update,
        "DELETE": conversations.delete,
    },
    "/v1/conversations/{id}/items": {"GET": conversations.list_items, "POST": conversations.add_items},
    "/v1/conversations/{id}/items/{item}": {
        "GET": conversations.retrieve_item,
        "DELETE": conversations.delete_item,
    },
}
