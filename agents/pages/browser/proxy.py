"""The browser's only way out: a forward proxy that goes where agents.pages.reach lets pages be fetched from,
and only while a page is shown.

A name is resolved here, once, and the connection goes to the very address that was checked. Encrypted
connections are passed through as they are; plain requests are made anew by the guarded client.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2

from agents.pages.reach import Reach
from agents.url_guard import UrlRefused

MAX_HEAD_BYTES = 64 * 1024
MAX_REQUEST_BYTES = 1024 * 1024
CONNECT_S = 10.0
READ_S = 15.0
METHODS = frozenset(("GET", "HEAD", "POST", "OPTIONS"))
_PIECE = 64 * 1024
_HOP = frozenset(
    ("connection", "proxy-connection", "proxy-authorization", "keep-alive", "te", "trailer", "upgrade")
)
_NOT_SENT = _HOP | {"host", "content-length", "accept-encoding", "cookie2", "transfer-encoding"}
_NOT_GIVEN = _HOP | {"content-length", "transfer-encoding"}

logger = logging.getLogger(__name__)


class Spent(Exception):
    """The page has had all that it may use."""


# Either end may say anything, or nothing, at any time.
_ENDINGS = (
    *(OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError),
    *(httpx2.HTTPError, httpx2.InvalidURL, Spent),
    asyncio.CancelledError,  # the page is over, and with it this connection's task
)


@dataclass(kw_only=True)
class Allowance:
    """What one page may use of the network; `refused` are the hosts that it wanted and was not let to."""

    reach: Reach
    max_bytes: int
    max_connections: int
    num_bytes: int = 0
    num_connections: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def is_spent(self) -> bool:
        return self.num_bytes > self.max_bytes or self.num_connections > self.max_connections

    def use(self, *, num_bytes: int = 0, num_connections: int = 0) -> None:
        self.num_bytes += num_bytes
        self.num_connections += num_connections
        if self.is_spent:
            raise Spent

    def refuse(self, target: str) -> None:
        if len(self.refused) < 100:
            self.refused.append(target[:200])


class Proxy:
    """Serves one page at a time; between pages it goes nowhere."""

    def __init__(self) -> None:
        self._allowance: Allowance | None = None
        self._client: httpx2.AsyncClient | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._server = await asyncio.start_server(self._connected, sock=listener, limit=MAX_HEAD_BYTES)

    async def close(self) -> None:
        await self._hang_up()
        if self._server is not None:
            self._server.close()

    @asynccontextmanager
    async def open_for(self, allowance: Allowance) -> AsyncGenerator[None, None]:
        timeout = httpx2.Timeout(READ_S, connect=CONNECT_S)
        async with allowance.reach.client(headers={}, timeout=timeout) as client:
            self._allowance, self._client = allowance, client
            try:
                yield
            finally:
                self._allowance = self._client = None
                await self._hang_up()

    async def _hang_up(self) -> None:
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._answer(reader, writer)
        except _ENDINGS as fault:
            logger.debug("a connection of the browser ended: %s", type(fault).__name__)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), READ_S)
        allowance, client = self._allowance, self._client
        if allowance is None or client is None:
            return
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        allowance.use(num_connections=1)
        try:
            # An encrypted connection names no page, so only its host can be checked.
            url = allowance.reach.checked(f"https://{target}/" if method == "CONNECT" else target)
            if method == "CONNECT":
                await self._pass_through(url, reader, writer, allowance)
            elif method in METHODS:
                await self._ask(client, method, url, head, reader, writer, allowance)
        except UrlRefused as fault:
            allowance.refuse(target)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n")
                await writer.drain()
            logger.debug("refused: %s", fault)

    async def _pass_through(
        self,
        url: httpx2.URL,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        allowance: Allowance,
    ) -> None:
        there_reader, there_writer = await _connection(await allowance.reach.addresses(url), url.port or 443)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, there_writer, allowance))
                both.create_task(_pump(there_reader, writer, allowance))
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        finally:
            there_writer.close()

    async def _ask(
        self,
        client: httpx2.AsyncClient,
        method: str,
        url: httpx2.URL,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        allowance: Allowance,
    ) -> None:
        headers = _headers(head)
        body = await _body(headers, reader)
        allowance.use(num_bytes=len(body))
        sent = [(name, value) for name, value in headers if name not in _NOT_SENT]
        async with client.stream(method, url, headers=sent, content=body or None) as response:
            given = [
                f"{name}: {value}"
                for name, value in response.headers.multi_items()
                if name.lower() not in _NOT_GIVEN
            ]
            lines = [f"HTTP/1.1 {response.status_code} Answer", *given, "connection: close", "", ""]
            writer.write("\r\n".join(lines).encode("latin-1", errors="replace"))
            async for piece in response.aiter_raw(_PIECE):
                allowance.use(num_bytes=len(piece))
                writer.write(piece)
                await writer.drain()


def _headers(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs]


async def _body(headers: list[tuple[str, str]], reader: asyncio.StreamReader) -> bytes:
    """Raises ValueError for one whose length is not told or too long."""
    told = dict(headers)
    if "transfer-encoding" in told:
        raise ValueError("a request of unknown length")
    num_bytes = int(told.get("content-length", "0"))
    if not 0 <= num_bytes <= MAX_REQUEST_BYTES:
        raise ValueError("a request that is too long")
    return await asyncio.wait_for(reader.readexactly(num_bytes), READ_S)


async def _connection(addresses: list[str], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return await asyncio.wait_for(asyncio.open_connection(address, port), CONNECT_S)
    return await asyncio.wait_for(asyncio.open_connection(addresses[-1], port), CONNECT_S)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, allowance: Allowance) -> None:
    while piece := await reader.read(_PIECE):
        allowance.use(num_bytes=len(piece))
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
