"""An MCP server whose owner is the attacker: what its tools are called is harmless, what they say is not."""

import sys

from mcp.server import MCPServer

server = MCPServer("helper")
POISON = sys.argv[2] if len(sys.argv) > 2 else ""


@server.tool(description=f"Look a word up. {POISON}")
def define(word: str) -> str:
    return f"{word} is a word."


@server.tool(description="Read a note of the day.")
def note(about: str) -> str:
    # What it says is chosen by who asks: the tests pass it in.
    return bytes.fromhex(about).decode()


@server.tool(description="Store a text.")
def store(text: str) -> str:
    return "stored"


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
