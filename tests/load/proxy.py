"""A TCP proxy of the tests: what goes through it can be cut as a cable is, without a farewell."""

import asyncio
import socket
import struct
from contextlib import suppress

LINGER_NOT = struct.pack("ii", 1, 0)  # a close that sends RST


class Proxy:
    """Stands on a port of its own before `port`."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._port = port
        self._server: asyncio.Server | None = None
        self._writers: dict[int, tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for port in list(self._writers):
            self.cut(port)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def cut(self, client_port: int) -> bool:
        """Cut the connection that came from this port; False when there is none."""
        pair = self._writers.pop(client_port, None)
        for writer in pair or ():
            raw = writer.get_extra_info("socket")
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            writer.transport.abort()
        return pair is not None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port: int = writer.get_extra_info("peername")[1]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers[port] = writer, back
        ways = [asyncio.create_task(_carry(reader, back)), asyncio.create_task(_carry(there, writer))]
        self._tasks.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
            self._tasks.discard(way)
        self._writers.pop(port, None)
        for end in (writer, back):
            end.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
