"""/mcp: the platform as an MCP server over streamable HTTP, behind the same API keys as /v1.

Keeps no sessions: each request stands for itself, so any number of web processes may answer.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mcp_types
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from webapp.accounts.models import ApiKey, User
from webapp.api import admission, database, errors, metrics
from webapp.api.errors import ApiError
from webapp.api.exchange import Exchange, Receive, Scope, Send
from webapp.api.plane import Application
from webapp.billing import limits
from webapp.billing.limits import RateLimited
from webapp.mcp import tools
from webapp.mcp.tools import ToolRefused

PATH = "/mcp"
NAME = "kimi-k2-thinking"
MAX_BODY_BYTES = 4 * 1024 * 1024
LIVES_FOR_S = 120.0
INSTRUCTIONS = "Start a long run of a thinking model with run_submit; ask run_status until it is finished."


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
        key = await database.run(admission.authenticate, exchange.bearer)
        async with _place(key, lease_id=exchange.id):
            return await _serve(key.user, scope, receive, send)
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


async def _serve(user: User, scope: Scope, receive: Receive, send: Send) -> int:
    status = 500

    async def watched(event: Any) -> None:
        nonlocal status
        if event["type"] == "http.response.start":
            status = event["status"]
        await send(event)

    manager = StreamableHTTPSessionManager(
        _server(user), stateless=True, json_response=True, max_request_body_size=MAX_BODY_BYTES
    )
    async with manager.run():
        await manager.handle_request(scope, receive, watched)
    return status


def _server(user: User) -> Server[Any]:
    """A server that speaks for one user, for one request: who asks is no argument that could be mixed up."""

    async def list_tools(context: Any, parameters: Any) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(tools=tools.OFFERED)

    async def call_tool(
        context: Any, parameters: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult:
        try:
            brought = await tools.call(user, parameters.name, parameters.arguments or {})
        except ToolRefused as refusal:
            return _result(str(refusal), is_error=True)
        return _result(json.dumps(brought, ensure_ascii=False), structured=brought)

    return Server(
        NAME, version="1", instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


def _result(text: str, *, structured: Any = None, is_error: bool = False) -> mcp_types.CallToolResult:
    content: list[mcp_types.ContentBlock] = [mcp_types.TextContent(type="text", text=text)]
    return mcp_types.CallToolResult(content=content, structured_content=structured, is_error=is_error)
