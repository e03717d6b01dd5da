"""Server-sent events as the OpenAI API writes them. Keep-alives are comments, never chunks."""

from typing import Any

import orjson

CONTENT_TYPE = b"text/event-stream; charset=utf-8"
HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"


def event(data: Any) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"
