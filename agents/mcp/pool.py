"""All MCP servers of a process, on a thread and an event loop of their own.

Segments of turns come and go, each with its own event loop; the connections stay. And the kernel ends a
sandboxed program together with the thread that started it, so that thread must live as long as the process.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from agents.mcp.connection import Connection, Unreachable
from agents.mcp.servers import Server
from agents.mcp.tools import Answer, McpTool, tools_of
from agents.tool import ToolContext

logger = logging.getLogger(__name__)

T = TypeVar("T")

LISTING_TTL_S = 600.0
FIRST_LISTING_S = 10.0  # that a turn waits for a server's tools at most
CLOSE_S = 15.0


class Pool:
    """Connects when it is first asked for tools. Callable from any thread with a running event loop."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self._servers = servers
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections: dict[str, Connection] = {}
        self._tools: dict[str, tuple[McpTool, ...]] = {}
        self._listed_at: dict[str, float] = {}
        self._listings: dict[str, asyncio.Task[None]] = {}

    async def tools(self) -> tuple[McpTool, ...]:
        """The tools of all servers, in a steady order. Those of a server that cannot be reached are the last
        that it listed, if it ever did; it never raises for a server's sake."""
        if not self._servers:
            return ()
        return await self._there(self._all_tools())

    def close(self) -> None:
        """Close all connections and end their programs."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close_all(), loop).result(CLOSE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_S)

    # ---- from the caller's event loop to ours

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on our loop. Cancelling the caller cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running_loop()))

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="mcp-servers", daemon=True
                )
                self._thread.start()
            return self._loop

    # ---- on our loop

    async def _all_tools(self) -> tuple[McpTool, ...]:
        """Waits for servers that were never listed; the listings of the others are renewed meanwhile."""
        for server in self._servers:
            if self._is_due(server):
                self._listings[server.name] = asyncio.create_task(self._list(server))
        missing = [task for name, task in self._listings.items() if name not in self._tools]
        if missing:
            await asyncio.wait(missing, timeout=FIRST_LISTING_S)
        return tuple(tool for server in self._servers for tool in self._tools.get(server.name, ()))

    def _is_due(self, server: Server) -> bool:
        listing = self._listings.get(server.name)
        if listing is not None and not listing.done():
            return False
        listed_at = self._listed_at.get(server.name)
        return listed_at is None or time.monotonic() - listed_at > LISTING_TTL_S

    async def _list(self, server: Server) -> None:
        try:
            listed = await self._connection(server).list_tools()
        except Unreachable:
            return  # the connection has logged why

        async def call(name: str, arguments: Mapping[str, Any], context: ToolContext) -> Answer:
            return await self._there(self._connection(server).call(name, arguments, key=context.key))

        self._tools[server.name] = tools_of(server, listed, call=call)
        self._listed_at[server.name] = time.monotonic()
        logger.info("MCP server %s: %d tools", server.name, len(self._tools[server.name]))

    def _connection(self, server: Server) -> Connection:
        if server.name not in self._connections:
            self._connections[server.name] = Connection(server)
        return self._connections[server.name]

    async def _close_all(self) -> None:
        for listing in self._listings.values():
            listing.cancel()
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))
        self._connections.clear()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
