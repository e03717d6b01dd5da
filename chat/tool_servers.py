"""The tools of the operator's MCP servers, over connections that a Celery worker keeps between turns.

The MCP SDK is imported with the first server: it takes a second, which every start would have to wait for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from agents.mcp import servers
from agents.mcp.servers import BadServers, Server
from agents.tool import Approval
from webapp.environment import text

if TYPE_CHECKING:
    from agents.mcp.pool import Pool
    from agents.mcp.tools import McpTool


async def tools() -> tuple[McpTool, ...]:
    """Waits some seconds for a server that was never reached, and leaves out what cannot be reached."""
    return await pool().tools() if settings.MCP_SERVERS else ()


def approvals_of(tools: Iterable[object]) -> dict[str, Approval]:
    """What the operator wrote about asking a person, by the tools' whole names."""
    if not settings.MCP_SERVERS:
        return {}
    from agents.mcp import tools as mcp_tools

    return mcp_tools.approvals_of(tools)


def configured() -> tuple[Server, ...]:
    """What the setting MCP_SERVERS says. Raises ImproperlyConfigured."""
    try:
        return servers.read(settings.MCP_SERVERS, lookup=_secret)
    except BadServers as fault:
        raise ImproperlyConfigured(f"MCP_SERVERS: {fault}") from fault


def are_described_by_others() -> bool:
    """Whether the model is told of tools in words that the operator does not vouch for: the descriptions come
    from their servers, which may say anything in them."""
    return bool(settings.MCP_SERVERS) and any(not server.is_vouched for server in configured())


@cache
def pool() -> Pool:
    from agents.mcp.pool import Pool

    return Pool(configured())


def _secret(name: str) -> str:
    if value := text(name):
        return value
    raise KeyError(name)
