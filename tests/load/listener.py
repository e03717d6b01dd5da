"""A socket that follows one turn and notes what came, when, and what is missing; many fit one process."""

import asyncio
import time
from collections.abc import Sequence

import msgspec
from websockets.asyncio.client import ClientConnection, connect

OPEN_AT_ONCE = 50
SETTLED_WITHIN_S = 30.0


class Heard(msgspec.Struct):
    seq: int = 0
    text: str = ""
    type: str = ""


_FRAMES: msgspec.json.Decoder[Heard | list[Heard]] = msgspec.json.Decoder(Heard | list[Heard])


class Listener:
    """`delays_s`: from when an event was written until it was here. `num_missed` and `num_doubled` are
    numbers that were left out or came again."""

    def __init__(self, turn: str) -> None:
        self.turn = turn
        self.last = 0
        self.num_missed = 0
        self.num_doubled = 0
        self.delays_s: list[float] = []
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, address: str, cookie: str) -> None:
        url = address.replace("http", "ws", 1) + "/ws/chat/"
        headers = {"Cookie": f"sessionid={cookie}", "Origin": address}
        self._socket = await connect(
            url, additional_headers=headers, open_timeout=60, proxy=None, max_size=None, compression=None
        )
        await self._socket.send(f'{{"op": "turn.attach", "turn": "{self.turn}", "after": 0}}')
        self._task = asyncio.create_task(self._follow(self._socket))

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def wait_for(self, seq: int) -> bool:
        """Whether the event came in time."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while self.last < seq and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        return self.last >= seq

    async def _follow(self, socket: ClientConnection) -> None:
        async for text in socket:
            now = time.monotonic_ns()
            said = _FRAMES.decode(text)
            for frame in said if isinstance(said, list) else (said,):
                if frame.seq:
                    self._take(frame, now)

    def _take(self, frame: Heard, now: int) -> None:
        if frame.seq <= self.last:
            self.num_doubled += 1
            return
        if frame.type != "turn.snapshot":
            self.num_missed += frame.seq - self.last - 1
        self.last = frame.seq
        if frame.type == "content.delta":
            self.delays_s.append((now - int(frame.text.split(" ", 1)[0])) / 1e9)


async def open_all(listeners: Sequence[Listener], address: str, cookie: str) -> None:
    for start in range(0, len(listeners), OPEN_AT_ONCE):
        await asyncio.gather(
            *(listener.open(address, cookie) for listener in listeners[start : start + OPEN_AT_ONCE])
        )


async def close_all(listeners: Sequence[Listener]) -> None:
    await asyncio.gather(*(listener.close() for listener in listeners))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
