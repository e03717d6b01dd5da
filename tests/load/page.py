"""A page without a browser: it follows the rules of static/js/stream.js, and notes every breach of them."""

import asyncio
import hashlib
import json
import random
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 2.0  # as the script's, while somebody is looking


class Page:
    """Starts turns or follows one; comes back after any cut, behind the last event that it has."""

    def __init__(self, address: str, cookie: str, *, draw: random.Random) -> None:
        self.num_gaps = 0
        self.opened_at: list[float] = []
        self.finished: dict[str, Any] | None = None
        self.turn: str | None = None
        self._url = address.replace("http", "ws", 1) + "/ws/chat/"
        self._headers = {"Cookie": f"sessionid={cookie}", "Origin": address}
        self._draw = draw
        self._unsent: dict[str, Any] | None = None
        self._steps: dict[int, list[str]] = {}
        self._last = 0
        self._socket: ClientConnection | None = None
        self._is_over = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def start(self, text: str) -> None:
        """Ask for a turn, until it is accepted, and follow it. A turn that is followed is forgotten."""
        self._forget()
        self.turn = None
        self._unsent = {"op": "turn.send", "client_id": str(uuid4()), "text": text, "model": "scripted"}
        await self._post(self._unsent)

    async def follow(self, turn: str) -> None:
        self._forget()
        self.turn = turn
        await self._post({"op": "turn.attach", "turn": turn, "after": 0})

    def reload(self) -> None:
        """All that was shown is gone; what was sent stays sent, as the draft of a page does."""
        self._forget()
        if self._socket is not None:
            self._socket.transport.abort()

    @property
    def port(self) -> int | None:
        """Of the connection, on this side."""
        return self._socket.local_address[1] if self._socket is not None else None

    @property
    def is_whole(self) -> bool:
        """Whether what is shown is what the server says it is."""
        text = "".join(piece for _, pieces in sorted(self._steps.items()) for piece in pieces)
        said = self.finished["text_sha256"] if self.finished else ""
        return bool(hashlib.sha256(text.encode()).hexdigest() == said)

    async def wait_finished(self, within_s: float) -> None:
        await asyncio.wait_for(self._is_over.wait(), within_s)

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def _forget(self) -> None:
        self._steps, self._last, self.finished = {}, 0, None
        self._is_over.clear()

    async def _run(self) -> None:
        retries = 0
        while True:
            with suppress(WebSocketException, OSError, TimeoutError):
                async with connect(
                    self._url, additional_headers=self._headers, proxy=None, max_size=None, open_timeout=5
                ) as socket:
                    retries = 0
                    self.opened_at.append(time.monotonic())
                    await self._listen(socket)
            self._socket = None
            ceiling = min(LAST_RETRY_S, FIRST_RETRY_S * 2**retries)
            retries += 1
            await asyncio.sleep(max(FIRST_RETRY_S / 2, self._draw.random() * ceiling))

    async def _listen(self, socket: ClientConnection) -> None:
        self._socket = socket
        if self.turn is not None:
            await self._post({"op": "turn.attach", "turn": self.turn, "after": self._last})
        if self._unsent is not None:
            await self._post(self._unsent)
        async for text in socket:
            said = json.loads(text)
            for frame in said if isinstance(said, list) else (said,):
                await self._take(frame)

    async def _post(self, command: dict[str, Any]) -> None:
        with suppress(WebSocketException, OSError):
            if self._socket is not None:
                await self._socket.send(json.dumps(command))

    async def _take(self, frame: dict[str, Any]) -> None:
        if "seq" in frame:
            await self._follow_event(frame)
        elif self._unsent and frame.get("client_id") == self._unsent["client_id"]:
            if frame["type"] == "refused":
                raise RuntimeError(frame["message"])
            self._unsent = None
            self.turn = frame["turn"]
            await self._post({"op": "turn.attach", "turn": self.turn, "after": 0})

    async def _follow_event(self, frame: dict[str, Any]) -> None:
        if frame["turn"] != self.turn or frame["seq"] <= self._last:
            return
        if frame["seq"] > self._last + 1 and frame["type"] != "turn.snapshot":
            self.num_gaps += 1
            await self._post({"op": "turn.attach", "turn": self.turn, "after": self._last})
            return
        self._last = frame["seq"]
        self._show(frame)

    def _show(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "turn.snapshot":
            self._steps, self.finished = {}, None
            for event in frame["events"]:
                self._show(event)
        elif kind == "step.started":
            self._steps = {step: said for step, said in self._steps.items() if step < frame["step"]}
        elif kind == "content.delta":
            self._steps.setdefault(frame["step"], []).append(frame["text"])
        elif kind == "turn.finished":
            self.finished = frame
            self._is_over.set()
