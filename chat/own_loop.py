"""The event loop of a thread that drives turns, kept from one segment to the next with its connections.

A turn has this thread to itself, so it speaks to the database right here: it would only wait for its rows in
another place, and going there and back takes longer than writing them.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

CANCEL_AGAIN_S = 0.2

P = ParamSpec("P")
T = TypeVar("T")


class _Thread(threading.local):
    """What a thread has: `runner` from its first `run` on, and what is kept for the next."""

    def __init__(self) -> None:
        self.runner: asyncio.Runner | None = None
        self.kept: dict[Hashable, Any] = {}
        self.stack = AsyncExitStack()


_thread = _Thread()


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, run in this thread's own loop. What it leaves running is ended with it."""
    if _thread.runner is None:
        _thread.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    return _thread.runner.run(_whole(work))


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    finally:
        # Again and again: now and then a cancellation is swallowed.
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


def _is_own() -> bool:
    return _thread.runner is not None and _thread.runner.get_loop() is asyncio.get_running_loop()


async def database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what speaks to the database: here in a loop of our own, elsewhere in the thread of the caller."""
    if not _is_own():
        return await sync_to_async(function)(*args, **kwargs)
    # Django refuses a thread in which a loop runs, lest it kept others waiting: nobody else is in this one.
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return function(*args, **kwargs)
    finally:
        asyncio._set_running_loop(loop)


async def aside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `database`, for what takes its time, so that the turn's lease is kept meanwhile."""
    if not _is_own():
        return await sync_to_async(function)(*args, **kwargs)
    return await asyncio.to_thread(_and_close, partial(function, *args, **kwargs))


def _and_close(function: Callable[[], T]) -> T:
    try:
        return function()
    finally:
        connections.close_all()


@asynccontextmanager
async def kept(
    name: Hashable, connect: Callable[[], AbstractAsyncContextManager[T]]
) -> AsyncGenerator[T, None]:
    """What was opened under this name before, or is now: in a loop of our own it stays open for the thread's
    next segments, elsewhere it is closed in the end."""
    if not _is_own():
        async with connect() as opened:
            yield opened
        return
    if name not in _thread.kept:
        _thread.kept[name] = await _thread.stack.enter_async_context(connect())
    yield _thread.kept[name]
