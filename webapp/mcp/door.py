"""/mcp: the platform as an MCP server over streamable HTTP, behind the same API keys as /v1.

Keeps no sessions: each request stands for itself, so any number of web processes may answer.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webapp.accounts.models import ApiKey
from webapp.api import admission, database, errors, metrics
from webapp.api.errors import ApiError
from webapp.api.exchange import Exchange, Receive, Scope, Send
from webapp.api.plane import Application
from webapp.billing import limits
from webapp.billing.limits import RateLimited

PATH = "/mcp"
LIVES_FOR_S = 120.0


class McpDoor:
    """The ASGI application at /mcp. `fallback` serves every other path."""

    def __init__(self, *, fallback: Application) -> None:
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].rstrip("/") != PATH:
            await self._fallback(scope, receive, send)
            return
        status = await _answer(scope, receive, send)
        metrics.requests.labels(PATH, status).inc()


async def _answer(scope: Scope, receive: Receive, send: Send) -> int:
    """Answer one request; returns its HTTP status."""
    exchange = Exchange(scope, receive, send)
    try:
        if exchange.method != "POST":
            raise ApiError(405, "/mcp takes POST.", code="method_not_allowed", headers={"allow": "POST"})
        key = await database.run(admission.authenticate, exchange.secret)
        # Imported with its first use: the MCP SDK takes a second, which every start would have to wait for.
        from webapp.mcp import server

        async with _place(key, lease_id=exchange.id):
            return await server.serve(key.user, scope, receive, send)
    except ApiError as error:
        await exchange.send_error(error)
        return error.status


@asynccontextmanager
async def _place(key: ApiKey, *, lease_id: str) -> AsyncIterator[None]:
    """A place among the requests of the key's user. Raises ApiError 429."""
    user_id = key.user_id
    try:
        await database.run(
            limits.enter, "request", user_id=user_id, lease_id=lease_id, ttl_s=LIVES_FOR_S, key_id=key.id
        )
    except RateLimited as refusal:
        raise errors.of_refusal(refusal) from None
    try:
        yield
    finally:
        await database.run(limits.leave, "request", user_id=user_id, lease_id=lease_id)
