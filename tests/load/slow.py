"""One reader that takes a kilobyte a second beside two hundred that take all: what it costs them, and the
web process of memory."""

import asyncio
import base64
import os
import socket
from contextlib import suppress

from inference.bench.report import Figure
from tests.load.listener import Listener, close_all, open_all, percentile
from tests.load.web_site import Site, served

READS_BYTES_A_S = 1_000
FLOOD_HZ, FLOOD_CHARS = 20, 10_000  # what the slow reader's turn says: 200 kB a second
MOST_GROWTH_MIB, MOST_RATIO = 20, 1.2


def measure(*, readers: int = 200, seconds: float = 15.0) -> list[Figure]:
    figures = []
    for server in ("daphne", "uvicorn"):
        with served(server) as site:
            alone, _ = asyncio.run(run(site, readers=readers, seconds=seconds, has_slow=False))
            beside, growth = asyncio.run(run(site, readers=readers, seconds=seconds, has_slow=True))
        place = f"a reader of 1 kB/s beside {readers}, {server}"
        figures += [
            Figure(name=f"{place}: memory grows by", value=growth, unit="MiB", most=MOST_GROWTH_MIB),
            Figure(
                name=f"{place}: the others' p99 / without it", value=beside / alone, unit="x", most=MOST_RATIO
            ),
            Figure(name=f"{place}: others' p99", value=beside, unit="ms"),
        ]
    return figures


async def run(site: Site, *, readers: int, seconds: float, has_slow: bool) -> tuple[float, float]:
    """The others' p99 in ms, and by how many MiB the web process grew. The flood is there in both runs: one
    of the others follows it while there is no slow reader."""
    opened = await asyncio.to_thread(site.inside, "open", str(readers + 1))
    flooded, *turns = opened["turns"]
    listeners = [Listener(turn) for turn in turns]
    await open_all(listeners, site.url, opened["cookie"])
    flood_reader = Listener(flooded)
    before = site.web_bytes()
    slow = None
    if has_slow:
        slow = asyncio.create_task(_read_slowly(site, flooded, opened["cookie"]))
    else:
        await flood_reader.open(site.url, opened["cookie"])
    feeds = [(flooded, FLOOD_HZ, FLOOD_CHARS), *((turn, 5, 20) for turn in turns)]
    try:
        async with site.fed(feeds, seconds=seconds) as feeding:
            await feeding
        growth = (site.web_bytes() - before) / 2**20
    finally:
        if slow is not None:
            slow.cancel()
            with suppress(asyncio.CancelledError):
                await slow
        await close_all([*listeners, flood_reader])
    delays = [delay for listener in listeners for delay in listener.delays_s[5:]]
    return 1000 * percentile(delays, 0.99), growth


async def _read_slowly(site: Site, turn: str, cookie: str) -> None:
    """By hand, so that nothing on this side takes more than is wanted."""
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    try:
        await loop.sock_connect(raw, ("127.0.0.1", site.port))
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /ws/chat/ HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Origin: {site.url}\r\nCookie: sessionid={cookie}\r\n\r\n"
        )
        await loop.sock_sendall(raw, request.encode())
        await loop.sock_recv(raw, 1_024)
        await loop.sock_sendall(raw, _masked(f'{{"op": "turn.attach", "turn": "{turn}", "after": 0}}'))
        while await loop.sock_recv(raw, READS_BYTES_A_S // 5):
            await asyncio.sleep(0.2)
    finally:
        raw.close()


def _masked(text: str) -> bytes:
    """A text frame of fewer than 126 bytes, as a browser sends it."""
    mask = os.urandom(4)
    body = text.encode()
    assert len(body) < 126, "a longer frame has its length elsewhere"
    return (
        bytes([0x81, 0x80 | len(body)])
        + mask
        + bytes(byte ^ mask[place % 4] for place, byte in enumerate(body))
    )
