"""POST /v1/responses/compact: a long conversation made short by its model, for the client to go on with."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from inference.schema import ChatMessage, ChatRequest, Finished, Role, Thinking, Usage
from webapp.accounts.models import ApiKey
from webapp.api import json_body
from webapp.api.chat_reply import Reply
from webapp.api.errors import bad_request
from webapp.api.responses import request, seal
from webapp.api.responses.reply import usage_shape
from webapp.api.responses.request import Body
from webapp.catalog.models import ServedModel

ORDER = (
    "Sum up this conversation for yourself, so that you can go on with it without having it before you: what "
    "was asked, what was found out and decided, with names, numbers and paths as they were, and what is "
    "still to be done. Write the summary and nothing else."
)


class Question(request.Question):
    """The conversation, and the order to sum it up."""

    @property
    def is_stream(self) -> bool:
        return False

    def to_chat_request(self, *, id: str, model: ServedModel, tenant: str) -> ChatRequest:
        asked = super().to_chat_request(id=id, model=model, tenant=tenant)
        order = ChatMessage(role=Role.USER, content=ORDER)
        always = model.thinking_dialect == ServedModel.ThinkingDialect.ALWAYS
        return msgspec.structs.replace(
            asked,
            messages=(*asked.messages, order),
            tools=(),
            tool_choice="none",
            response_format=None,
            thinking=Thinking(enabled=always),
        )

    def writer(self, request: ChatRequest, *, model: ServedModel) -> Any:
        return Writer(id=request.id, seal=partial(seal.closed, tenant=request.tenant, kind="compaction"))


class Writer:
    """Writes what the conversation came to, as one sealed item."""

    keep = None  # the client keeps it

    def __init__(self, *, id: str, seal: Callable[[str], str]) -> None:
        self._id = id
        self._seal = seal

    def ping(self) -> bytes:
        raise TypeError("a compaction is not streamed")

    def piece(self, index: int, delta: Any) -> bytes:
        raise TypeError("a compaction is not streamed")

    def ending(self, reply: Reply, finished: Finished, *, usage: Usage | None = None) -> bytes:
        raise TypeError("a compaction is not streamed")

    def completion(self, replies: Sequence[Reply], *, usage: Usage) -> dict[str, Any]:
        (reply,) = replies
        summary = {
            "id": f"cmp_{self._id.partition('_')[2]}",
            "type": "compaction",
            "encrypted_content": self._seal("".join(reply.content)),
        }
        return {
            "id": self._id,
            "object": "response.compaction",
            "created_at": int(time.time()),
            "output": [summary],
            "usage": usage_shape(usage),
        }


_body = msgspec.json.Decoder(Body)


def decode(content: bytes, *, key: ApiKey) -> Question:
    """Raises ApiError 400 that names the field."""
    body = json_body.read(content, _body)
    if body.stream or body.background:
        raise bad_request("A compaction is one object: leave `stream` and `background` out.", param="stream")
    return Question(body, key=key)
