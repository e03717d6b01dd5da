"""The MCP server at /mcp: what it offers, and answering one request of one user."""

import json
from typing import Any

import mcp_types
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from webapp.accounts.models import User
from webapp.api.exchange import Receive, Scope, Send
from webapp.mcp import tools
from webapp.mcp.tools import ToolRefused

NAME = "kimi-k2-thinking"
MAX_BODY_BYTES = 4 * 1024 * 1024
INSTRUCTIONS = "Start a long run of a thinking model with run_submit; ask run_status until it is finished."


async def serve(user: User, scope: Scope, receive: Receive, send: Send) -> int:
    """Answer it; returns its HTTP status."""
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
        return mcp_types.ListToolsResult(tools=await tools.offered())

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
