"""The addresses of responses and conversations."""

from webapp.api.addresses import Methods
from webapp.api.responses import handlers

ADDRESSES: dict[str, Methods] = {
    "/v1/responses": {"POST": handlers.create},
    "/v1/responses/{id}": {"GET": handlers.retrieve, "DELETE": handlers.delete},
    "/v1/responses/{id}/cancel": {"POST": handlers.cancel},
    "/v1/responses/{id}/input_items": {"GET": handlers.input_items},
}
