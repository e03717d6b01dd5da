"""How a turn is ended from outside while it waits for a model or a tool."""

import asyncio
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS_TO_CLEAN_UP = 1.8


class Why(StrEnum):
    CANCELLED = "cancelled"
    TIME = "time"
    LOST = "lost"  # another worker holds the turn now: write nothing more


class Interrupted(Exception):
    """What was waited for has been cancelled."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


class StopSignal:
    """Set at most once; the first reason stands."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._why: Why | None = None

    def set(self, why: Why) -> None:
        if self._why is None:
            self._why = why
            self._event.set()

    def check(self) -> None:
        """Raises Interrupted when the signal was set."""
        if self._why is not None:
            raise Interrupted(self._why)

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; raises Interrupted once the signal is set, when `work` is cancelled and has
        cleaned up, or has had its time for that."""
        task = asyncio.ensure_future(work)
        waiter = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            waiter.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=SECONDS_TO_CLEAN_UP)
        self.check()
        raise AssertionError("the wait ended for no reason")

    async def sleep(self, seconds: float) -> None:
        await self.guard(asyncio.sleep(seconds))


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which a cancellation does not cut short: it is raised when the work is done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
