"""An MCP server as people write them, with the SDK: over stdio, or over HTTP on the loopback."""

import sys

from mcp.server import MCPServer

server = MCPServer("weather")


@server.tool()
def forecast(city: str, days: int = 1) -> dict[str, str]:
    """The weather of a city."""
    return {"city": city, "sky": "clear" if days == 1 else f"clear for {days} days"}


@server.tool()
def broken() -> str:
    """A tool with a bug."""
    raise ZeroDivisionError("secret detail")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
