"""One connection to an MCP server: opened when it is needed, closed when it is idle, opened again after a
fault. A server that dies, hangs or floods makes calls fail, nothing else.

Lives on one event loop, that of the pool; the SDK demands that one task both opens and closes a connection.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import httpx2
import mcp_types
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT, RequestParamsMeta

from agents import plain_text, url_guard
from agents.mcp import stdio
from agents.mcp.servers import Remote, Server
from agents.mcp.tools import Answer, CallFailed
from agents.sandbox.launch import SandboxMissing
from agents.tool import Fault

logger = logging.getLogger(__name__)

CONNECT_S = 15.0
LISTING_S = 15.0
IDLE_S = 600.0
CLOSE_S = 10.0
MAX_CALLS_AT_ONCE = 8
MAX_PAGES = 20
MAX_ERROR_CHARS = 500
PAUSES_S = (0.0, 1.0, 5.0, 30.0, 60.0)  # between attempts to connect

KEY = "kimi-k2/idempotency-key"  # in a call's _meta: the same when a call is made again after a crash


class Unreachable(Exception):
    """There is no connection to the server, and none is tried for a while."""


class Connection:
    """Opens itself at the first call."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._places = asyncio.Semaphore(MAX_CALLS_AT_ONCE)
        self._opening = asyncio.Lock()
        self._life: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._leave = asyncio.Event()
        self._num_calls = 0
        self._used_at = time.monotonic()
        self._num_failures = 0
        self._not_before = 0.0

    async def list_tools(self) -> list[mcp_types.Tool]:
        """Raises Unreachable."""
        client = await self._open()
        tools: list[mcp_types.Tool] = []
        try:
            async with asyncio.timeout(LISTING_S):
                cursor: str | None = None
                for _ in range(MAX_PAGES):
                    page = await client.list_tools(cursor=cursor)
                    tools += page.tools
                    cursor = page.next_cursor
                    if cursor is None:
                        break
        except Exception as fault:
            self._failed(fault)
            raise Unreachable(self._server.name) from fault
        return tools

    async def call(self, name: str, arguments: Mapping[str, Any], *, key: str) -> Answer:
        """Raises CallFailed."""
        async with self._places:
            try:
                client = await self._open()
            except Unreachable as fault:
                raise CallFailed(
                    f"The tool server {self._server.name} cannot be reached now. Go on without it."
                ) from fault
            self._num_calls += 1
            try:
                return await client.call_tool(
                    name,
                    dict(arguments),
                    read_timeout_seconds=self._timeout_s(name),
                    meta=cast(RequestParamsMeta, {KEY: key}),
                )
            except Exception as fault:
                # Whatever a foreign server makes the SDK raise: to the turn it is a call that failed.
                raise self._as_failure(name, fault) from fault
            finally:
                self._num_calls -= 1
                self._used_at = time.monotonic()

    async def close(self) -> None:
        self._leave.set()
        if self._life is not None:
            await asyncio.wait({self._life}, timeout=CLOSE_S)

    async def _open(self) -> Client:
        async with self._opening:
            if self._client is not None and not self._leave.is_set():
                return self._client
            if self._life is not None:
                await asyncio.wait({self._life}, timeout=CLOSE_S)
            if time.monotonic() < self._not_before:
                raise Unreachable(self._server.name)
            return await self._opened()

    async def _opened(self) -> Client:
        self._leave = asyncio.Event()
        ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(self._leave, ready))
        try:
            async with asyncio.timeout(CONNECT_S):
                self._client = await asyncio.shield(ready)
        except Exception as fault:
            self._life.cancel()
            self._failed(fault)
            raise Unreachable(self._server.name) from fault
        self._num_failures = 0
        return self._client

    async def _live(self, leave: asyncio.Event, ready: "asyncio.Future[Client]") -> None:
        """The connection's whole life, in one task."""
        client: Client | None = None
        try:
            async with Client(_transport(self._server), cache=None) as client:
                ready.set_result(client)
                while not leave.is_set() and not self._is_idle():
                    try:
                        await asyncio.wait_for(leave.wait(), IDLE_S / 20)
                    except TimeoutError:
                        continue
        except Exception as fault:
            # Foreign code at the outermost loop of this task: what it raises is told to who waits for it.
            if not ready.done():
                ready.set_exception(fault)
                ready.exception()  # nobody may be waiting any more
        finally:
            leave.set()
            if self._client is client:
                self._client = None

    def _is_idle(self) -> bool:
        return self._num_calls == 0 and time.monotonic() - self._used_at > IDLE_S

    def _timeout_s(self, name: str) -> float:
        treatment = self._server.tools.get(name)
        return (treatment.timeout_s if treatment else None) or self._server.timeout_s

    def _as_failure(self, name: str, fault: Exception) -> CallFailed:
        code = fault.code if isinstance(fault, MCPError) else None
        if isinstance(fault, TimeoutError) or code == REQUEST_TIMEOUT:
            if self._num_calls == 1:
                self._leave.set()  # it may hang for good: the next call gets a fresh one
            return CallFailed(f"{name} did not answer in {self._timeout_s(name):.0f} s.", fault=Fault.TIMEOUT)
        if isinstance(fault, MCPError | RuntimeError) and code != CONNECTION_CLOSED:
            return CallFailed(f"{name} failed: {plain_text.neutral(str(fault))[:MAX_ERROR_CHARS]}")
        self._failed(fault)
        return CallFailed(
            f"The tool server {self._server.name} broke off during the call of {name}: it may "
            "have had its effect: make sure before you call it again.",
            fault=Fault.INTERRUPTED,
        )

    def _failed(self, fault: Exception) -> None:
        """Leave the connection, and wait longer with each failure before the next."""
        self._leave.set()
        pause_s = PAUSES_S[min(self._num_failures, len(PAUSES_S) - 1)]
        self._num_failures += 1
        self._not_before = time.monotonic() + pause_s
        logger.warning("MCP server %s: %s; next try in %.0f s", self._server.name, _reason(fault), pause_s)


def _reason(fault: BaseException) -> str:
    """What happened, without the words of a server, which may quote what a person wrote."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    is_ours = isinstance(fault, OSError | url_guard.UrlRefused | SandboxMissing)
    return f"{type(fault).__name__}: {fault}" if is_ours else type(fault).__name__


def _transport(server: Server) -> AbstractAsyncContextManager[Any]:
    place = server.place
    if isinstance(place, Remote):
        return _remote(place, timeout_s=server.timeout_s)
    return stdio.connect(place, name=server.name)


@asynccontextmanager
async def _remote(place: Remote, *, timeout_s: float) -> AsyncGenerator[Any, None]:
    timeout = httpx2.Timeout(url_guard.TIMEOUT_S, read=max(timeout_s, 60.0))
    async with (
        url_guard.client(
            place.rules, headers=place.headers, timeout=timeout, follow_redirects=False
        ) as client,
        streamable_http_client(place.url, http_client=client) as streams,
    ):
        yield streams
