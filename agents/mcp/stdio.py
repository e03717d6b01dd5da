"""MCP over the standard streams of a program in the sandbox: one JSON message a line."""

import asyncio
import contextlib
import logging
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from agents.sandbox import launch
from agents.sandbox.launch import Program

logger = logging.getLogger(__name__)

SECONDS_TO_LEAVE = 1.0
FLOOD_WINDOW_S = 10.0
FLOOD_LINES = 2_000  # within the window
FLOOD_BYTES = 64 * 1024 * 1024
KEPT_STDERR_BYTES = 2_000

ToSession = MemoryObjectSendStream[SessionMessage | Exception]
FromServer = MemoryObjectReceiveStream[SessionMessage | Exception]
ToServer = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def connect(program: Program, *, name: str) -> AsyncGenerator[tuple[FromServer, ToServer], None]:
    """Streams to and from the program, which lives as long as the block. A program that dies or floods closes
    them. Raises SandboxMissing, or OSError."""
    process = await launch.start(program)
    incoming, to_session = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, to_program = anyio.create_memory_object_stream[SessionMessage](0)
    words = _LastWords()
    tasks = [
        asyncio.create_task(_read(process, incoming, name)),
        asyncio.create_task(_write(process, to_program, incoming)),
        asyncio.create_task(words.gather(process)),
    ]
    try:
        yield to_session, outgoing
    finally:
        await asyncio.shield(asyncio.ensure_future(_end(process, tasks, words, name)))
        for stream in (incoming, to_session, outgoing, to_program):
            stream.close()


async def _read(process: Process, to_session: ToSession, name: str) -> None:
    """Each line as a message, until the program ends, floods or is no longer listened to."""
    assert process.stdout is not None
    gauge = _Gauge()
    with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        async with to_session:
            while True:
                try:
                    line = await process.stdout.readline()
                except ValueError:
                    logger.warning(
                        "MCP server %s wrote a line of more than %d bytes", name, launch.LINE_BYTES
                    )
                    return
                if not line:
                    return
                if gauge.overflows(len(line)):
                    logger.warning("MCP server %s floods its output", name)
                    return
                await to_session.send(_message(line))


class _Gauge:
    """How much came in the current stretch of time."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._num_lines = 0
        self._num_bytes = 0

    def overflows(self, num_bytes: int) -> bool:
        now = time.monotonic()
        if now - self._began > FLOOD_WINDOW_S:
            self._began, self._num_lines, self._num_bytes = now, 0, 0
        self._num_lines += 1
        self._num_bytes += num_bytes
        return self._num_lines > FLOOD_LINES or self._num_bytes > FLOOD_BYTES


def _message(line: bytes) -> SessionMessage | Exception:
    """A line that is no message is an exception for the session, which passes over it."""
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return ValueError("a line that is no JSON-RPC message")  # without the line: it may hold anything


async def _write(
    process: Process,
    from_session: MemoryObjectReceiveStream[SessionMessage],
    to_session: ToSession,
) -> None:
    assert process.stdin is not None
    try:
        async with from_session:
            async for message in from_session:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()
    except (OSError, anyio.ClosedResourceError):
        to_session.close()  # it reads no more: the session must not wait for answers


class _LastWords:
    """What it wrote to stderr last. It must be read, or the program stops when the pipe is full."""

    def __init__(self) -> None:
        self._text = b""

    async def gather(self, process: Process) -> None:
        assert process.stderr is not None
        while piece := await process.stderr.read(65_536):
            self._text = (self._text + piece)[-KEPT_STDERR_BYTES:]

    def __str__(self) -> str:
        return self._text.decode(errors="replace").strip().rpartition("\n")[2][:300]


async def _end(process: Process, tasks: "list[asyncio.Task[None]]", words: _LastWords, name: str) -> None:
    """As the protocol wants it: close its input, give it a moment, then kill what is left."""
    if process.stdin is not None:
        process.stdin.close()
    else_killed_at = time.monotonic() + SECONDS_TO_LEAVE
    while process.returncode is None and time.monotonic() < else_killed_at:
        await asyncio.sleep(0.02)
    if process.returncode:
        # Only of a program that failed: that is for the operator, and nothing of a turn is in it yet.
        logger.warning("MCP server %s ended with status %s: %s", name, process.returncode, words)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await launch.end(process)
