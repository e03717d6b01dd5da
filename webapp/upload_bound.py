"""Refuses an upload that is too large by what its sender says of it, before any of it is read: Django would
take all of it in before anybody could ask."""

from typing import Any

import orjson
from django.conf import settings

from chat import attachments
from webapp.api.plane import Application

PATH = "/attachments/"


class UploadBound:
    """An ASGI application for HTTP in front of another."""

    def __init__(self, *, fallback: Application) -> None:
        self._fallback = fallback

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] != PATH or scope["method"] != "POST" or _num_bytes(scope) <= _most_bytes():
            await self._fallback(scope, receive, send)
            return
        refused = attachments.too_large()
        body = orjson.dumps({"code": refused.code, "message": refused.message})
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _num_bytes(scope: dict[str, Any]) -> int:
    """What is announced; of a sender that does not say, the view wants to know."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


def _most_bytes() -> int:
    return int(settings.ATTACHMENT_MB) * 2**20
