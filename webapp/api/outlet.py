"""What the choices of a call say, on its way out: what comes together goes out together.

A backend often brings many pieces at once, and sending costs more than all else that is done for a piece.
"""

import asyncio
from collections.abc import Awaitable, Callable

from inference.schema import ChatDelta
from webapp.api.chat_reply import Reply

Said = tuple[Reply, ChatDelta]
MOST_WAITING = 64


class Outlet:
    """`send` is called with all that waits, in order, whenever the backends bring nothing more at once."""

    def __init__(self, send: Callable[[list[Said]], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: list[Said] = []
        self._has_some = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    async def run(self) -> None:
        """Send until cancelled. Raises what `send` raises."""
        while True:
            await self._has_some.wait()
            self._has_some.clear()
            said, self._waiting = self._waiting, []
            await self._send(said)
            if not self._waiting:
                self._is_empty.set()

    async def put(self, reply: Reply, delta: ChatDelta) -> None:
        """Waits while a client that reads slowly has much before it."""
        self._waiting.append((reply, delta))
        self._is_empty.clear()
        self._has_some.set()
        if len(self._waiting) >= MOST_WAITING:
            await self._is_empty.wait()

    async def drain(self) -> None:
        """Return when all that was put has been sent."""
        await self._is_empty.wait()
