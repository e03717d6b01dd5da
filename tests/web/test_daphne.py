"""A reader that takes nothing costs the web process a bounded amount of memory."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests import services

MOST_BYTES = 16_000_000  # the kernel's buffers of both ends, and one of Twisted's
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def port() -> Iterator[int]:
    port = services.free_port()
    command = [sys.executable, "-m", "webapp.daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"]
    server = subprocess.Popen([*command, "tests.web.flood:application"])
    services.wait_until(lambda: _answers(port), within_s=30, what="Daphne")
    yield port
    server.terminate()
    server.wait(timeout=20)


def test_sockets_are_told_to_come_back_when_the_server_ends() -> None:
    port = services.free_port()
    command = [sys.executable, "-m", "webapp.daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0"]
    with subprocess.Popen([*command, "tests.web.quiet:application"]) as server:
        services.wait_until(lambda: _takes_connections(port), within_s=30, what="Daphne")
        with connect(f"ws://127.0.0.1:{port}/", proxy=None) as reader:
            server.terminate()
            with pytest.raises(ConnectionClosed) as closed:
                reader.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4503


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def num_sent(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return int(answer.read())


def _answers(port: int) -> bool:
    try:
        return num_sent(port) == 0
    except OSError:
        return False


def test_a_flood_waits_for_its_reader_and_goes_on_with_it(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as reader:
        reader.sendall(HANDSHAKE.encode())
        assert reader.recv(12) == b"HTTP/1.1 101"
        stalled_at = _rest(port)
        assert 0 < stalled_at < MOST_BYTES
        taken = 0
        while taken < 2 * stalled_at:
            taken += len(reader.recv(1 << 20))
        services.wait_until(lambda: num_sent(port) > 2 * stalled_at, within_s=30, what="more")


def _rest(port: int) -> int:
    """How much was sent when no more is."""
    before, now = -1, num_sent(port)
    while now != before or now == 0:
        time.sleep(0.3)
        before, now = now, num_sent(port)
    return now
