"""A browser tab as a test sees it: a websocket with a session, in an event loop of its own, and the frames it
got."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar
from uuid import uuid4

import msgspec
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.db import connections
from django.test import Client

from chat.routing import websocket_urlpatterns
from webapp.accounts.models import User

T = TypeVar("T")
Where = Callable[[dict[str, Any]], bool]
WITHIN_S = 60.0

application = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))


class Server:
    """The event loop that a web process has."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WITHIN_S)

    def stop(self) -> None:
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WITHIN_S)
        self.loop.close()

    async def _cancel_all(self) -> None:
        """End what runs, and with it the connections to the database that the loop's threads hold."""
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sync_to_async(connections.close_all)()


class Frames(list[dict[str, Any]]):
    @property
    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self]

    def text_of(self, kind: str) -> str:
        return "".join(frame["text"] for frame in self if frame["type"] == kind)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self if frame["type"] == kind]


def headers_of(client: Client) -> list[tuple[bytes, bytes]]:
    """What a browser with this client's session sends."""
    pairs = "; ".join(f"{name}={cookie.value}" for name, cookie in client.cookies.items())
    return [(b"origin", b"http://localhost"), (b"cookie", pairs.encode())]


class Tab:
    """One open page. `frames` is everything it ever got."""

    def __init__(self, server: Server, user: User | None) -> None:
        self.frames = Frames()
        self.closed: int | None = None
        self._server = server
        self._news = threading.Condition()
        self._socket = self._open(user)
        self._pump = asyncio.run_coroutine_threadsafe(self._receive(), server.loop)

    def send(self, op: str, **fields: Any) -> None:
        self.send_text(msgspec.json.encode({"op": op, **fields}).decode())

    def send_text(self, text: str) -> None:
        self._server.run(self._socket.send_to(text_data=text))

    def start(self, text: str, **options: Any) -> str:
        """Send a message and attach to its turn, whose id comes back."""
        client_id = options.pop("client_id", str(uuid4()))
        self.send(
            "turn.send", client_id=client_id, text=text, model=options.pop("model", "scripted"), **options
        )
        accepted = self.wait_for("turn.accepted", where=lambda frame: frame["client_id"] == client_id)
        self.send("turn.attach", turn=accepted["turn"], after=0)
        return str(accepted["turn"])

    def ask(self, text: str, **options: Any) -> Frames:
        """Send a message and wait for its last frame: the frames of its turn."""
        turn = self.start(text, **options)
        self.wait_for("turn.finished", where=lambda frame: frame["turn"] == turn)
        return self.of_turn(turn)

    def of_turn(self, turn: str) -> Frames:
        return Frames(frame for frame in self.frames if frame.get("turn") == turn and "seq" in frame)

    def refused(self) -> dict[str, Any]:
        return self.wait_for("refused")

    def wait_for(
        self, kind: str, *, where: Where = lambda frame: True, within_s: float = WITHIN_S
    ) -> dict[str, Any]:
        """The first such frame, come or to come."""
        return self.wait_for_any(lambda frame: frame["type"] == kind and where(frame), within_s=within_s)

    def wait_for_any(self, where: Where, *, within_s: float = WITHIN_S) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        with self._news:
            while True:
                for frame in self.frames:
                    if where(frame):
                        return frame
                if not self._news.wait(max(deadline - time.monotonic(), 0)):
                    raise TimeoutError(f"not within {within_s} s; came: {self.frames[-20:]}")

    def wait_closed(self) -> int:
        with self._news:
            assert self._news.wait_for(lambda: self.closed is not None, WITHIN_S), "the socket stays open"
        assert self.closed is not None
        return self.closed

    def close(self) -> None:
        """As a reload does: the socket goes, the turn does not."""
        if self.closed is None:
            self._pump.cancel()
            self._server.run(self._socket.disconnect())
            self.closed = 1000

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self, user: User | None) -> WebsocketCommunicator:
        self.client = Client()
        if user is not None:
            self.client.force_login(user)
        headers = headers_of(self.client)

        async def connect() -> WebsocketCommunicator:
            socket = WebsocketCommunicator(application, "/ws/chat/", headers=headers)
            is_connected, _ = await socket.connect(timeout=WITHIN_S)
            assert is_connected
            return socket

        return self._server.run(connect())

    async def _receive(self) -> None:
        while self.closed is None:
            message = await self._socket.output_queue.get()
            with self._news:
                if message["type"] == "websocket.close":
                    self.closed = message.get("code", 1000)
                elif message["type"] == "websocket.send":
                    said = msgspec.json.decode(message["text"])
                    self.frames.extend(said if isinstance(said, list) else [said])
                self._news.notify_all()
