"""The tools of the operator's MCP servers, over connections that a Celery worker keeps between turns."""

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from agents.mcp import servers
from agents.mcp.pool import Pool
from agents.mcp.servers import BadServers, Server
from agents.mcp.tools import McpTool
from webapp.settings import text


async def tools() -> tuple[McpTool, ...]:
    """Waits some seconds for a server that was never reached, and leaves out what cannot be reached."""
    return await pool().tools()


def configured() -> tuple[Server, ...]:
    """What the setting MCP_SERVERS says. Raises ImproperlyConfigured."""
    try:
        return servers.read(settings.MCP_SERVERS, lookup=_secret)
    except BadServers as fault:
        raise ImproperlyConfigured(f"MCP_SERVERS: {fault}") from fault


@cache
def pool() -> Pool:
    return Pool(configured())


def _secret(name: str) -> str:
    if value := text(name):
        return value
    raise KeyError(name)
