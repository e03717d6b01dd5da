"""Server-sent events: bare ones as OpenAI writes them, whose keep-alives are comments, and named ones as
Anthropic does."""

from typing import Any

import orjson

CONTENT_TYPE = b"text/event-stream; charset=utf-8"
HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"


def event(data: Any) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def named_event(data: dict[str, Any]) -> bytes:
    """An event that bears the name of its type."""
    return b"event: " + str(data["type"]).encode() + b"\n" + event(data)
