"""A request that is too large is refused at once, and costs neither memory nor disk."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from tests import services
from webapp.upload_bound import UploadBound

GIB = 2**30


@pytest.fixture
def server() -> Iterator[tuple[int, psutil.Process]]:
    port = services.free_port()
    command = [sys.executable, "-m", "webapp.daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"]
    process = subprocess.Popen([*command, "tests.web.flood:application"])
    services.wait_until(lambda: _is_there(port), within_s=30, what="Daphne")
    yield port, psutil.Process(process.pid)
    process.terminate()
    process.wait(timeout=20)


def _is_there(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def answer_to(port: int, head: str, body: Iterator[bytes]) -> bytes:
    """The beginning of what comes back while the body is still being sent."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head.encode())
        client.settimeout(0.02)
        until = time.monotonic() + 60
        for piece in body:
            assert time.monotonic() < until, "nothing came back"
            try:
                client.settimeout(30)
                client.sendall(piece)
                client.settimeout(0.001)
                return client.recv(4_096)
            except TimeoutError:
                continue
    raise AssertionError("all of it was taken")


def test_two_gigabytes_are_refused_by_their_announcement(server: tuple[int, psutil.Process]) -> None:
    port, process = server
    before = process.memory_info().rss
    head = f"POST /attachments/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * GIB}\r\n\r\n"
    pieces = (b"x" * 65_536 for _ in range(2 * GIB // 65_536))
    said = answer_to(port, head, pieces)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"too_large" in said
    assert process.memory_info().rss - before < 20 * 2**20
    assert next(pieces, None) is not None


def test_a_body_without_end_is_refused_where_it_gets_too_long(server: tuple[int, psutil.Process]) -> None:
    port, process = server
    before = process.memory_info().rss
    head = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    said = answer_to(port, head, (piece for _ in range(4_000)))
    assert said.startswith(b"HTTP/1.1 413 ")
    # The kernel holds some of a temporary file; the process holds none of it.
    assert process.memory_info().rss - before < 60 * 2**20


def test_an_upload_is_refused_before_any_of_it_is_read() -> None:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        raise AssertionError("somebody reads it")

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def beyond(*_: object) -> None:
        raise AssertionError("it goes on")

    headers = [(b"content-length", str(2 * GIB).encode())]
    scope = {"type": "http", "path": "/attachments/", "method": "POST", "headers": headers}
    asyncio.run(UploadBound(fallback=beyond)(scope, receive, send))
    assert sent[0]["status"] == 413
    assert b"larger than 25 MB" in bytes(sent[1]["body"])  # type: ignore[call-overload]
