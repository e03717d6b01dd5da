"""What a turn of the chat adds to a model's own time: socket, Celery worker, event log and back."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener
from uuid import uuid4

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket

from webapp.management.web_bench import Site

TURN_WITHIN_S = 30


@dataclass
class Tab:
    """A socket, and the frames that came together with one that was looked for."""

    socket: ClientConnection
    waiting: deque[dict[str, str]] = field(default_factory=deque)


@asynccontextmanager
async def connect(site: Site) -> AsyncIterator[Tab]:
    """A signed-in browser's socket."""
    address = f"127.0.0.1:{site.port}"
    cookie = await asyncio.to_thread(_sign_in, f"http://{address}", site)
    headers = {"Cookie": cookie, "Origin": f"http://{address}"}
    async with connect_socket(f"ws://{address}/ws/chat/", additional_headers=headers, proxy=None) as socket:
        yield Tab(socket)


async def first_piece_s(tab: Tab) -> float:
    """From the frame `turn.send` to the first piece of the answer, in a conversation of its own."""
    started_at = time.perf_counter()
    await _send(tab, op="turn.send", client_id=str(uuid4()), text="Hello", model="scripted")
    accepted = await _next(tab, "turn.accepted")
    await _send(tab, op="turn.attach", turn=accepted["turn"])
    await _next(tab, "content.delta")
    elapsed_s = time.perf_counter() - started_at
    await _next(tab, "turn.finished")
    return elapsed_s


async def _send(tab: Tab, **command: str) -> None:
    await tab.socket.send(json.dumps(command))


async def _next(tab: Tab, kind: str) -> dict[str, str]:
    """The next frame of this kind; those before it are passed over. Raises RuntimeError for a refusal."""
    async with asyncio.timeout(TURN_WITHIN_S):
        while True:
            while not tab.waiting:
                said = json.loads(await tab.socket.recv())
                tab.waiting.extend(said if isinstance(said, list) else [said])
            frame = tab.waiting.popleft()
            if frame["type"] == kind:
                return frame
            if frame["type"] == "refused":
                raise RuntimeError(frame["message"])


def _sign_in(address: str, site: Site) -> str:
    """The cookies of a session, as a browser would send them."""
    jar = CookieJar()
    opener = build_opener(HTTPCookieProcessor(jar), ProxyHandler({}))
    opener.open(f"{address}/sign-in/").read()
    cookies = {cookie.name: cookie.value or "" for cookie in jar}
    form = {
        "username": "bench",
        "password": site.password,
        "csrfmiddlewaretoken": cookies["csrftoken"],
    }
    opener.open(f"{address}/sign-in/", urlencode(form).encode()).read()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
