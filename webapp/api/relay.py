"""A stream of what happens elsewhere, passed on for as long as its client listens."""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from webapp.api import sse
from webapp.api.exchange import ClientGone, Exchange

PING_AFTER_S = 10.0


async def pass_on(exchange: Exchange, pieces: AsyncGenerator[bytes, None]) -> None:
    """Send the pieces as they come, and pings in between. Returns when they have ended or the client is
    gone. Raises what the pieces raise."""
    passing = asyncio.create_task(_pass(exchange, pieces))
    gone = asyncio.create_task(exchange.wait_until_gone())
    pinging = asyncio.create_task(_ping(exchange))
    try:
        await asyncio.wait({passing, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        tasks = (passing, gone, pinging)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await pieces.aclose()
    if not passing.cancelled() and (fault := passing.exception()):
        raise fault


async def until_gone(exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
    """Wait for the work while the client waits. Raises ClientGone, and what the work raises."""
    working = asyncio.create_task(work)
    gone = asyncio.create_task(exchange.wait_until_gone())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.wait({working, gone})
    if working.cancelled():
        raise ClientGone
    working.result()


async def _pass(exchange: Exchange, pieces: AsyncGenerator[bytes, None]) -> None:
    async for piece in pieces:
        await exchange.stream(piece)
    await exchange.stream(b"", is_last=True)


async def _ping(exchange: Exchange) -> None:
    while True:
        await asyncio.sleep(1)
        if time.perf_counter() - exchange.sent_at >= PING_AFTER_S:
            await exchange.stream(sse.PING)
