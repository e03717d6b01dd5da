"""Of many who ask the same at once, in any process, one runs the tool and the others take its result."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agents.tool import ToolResult, ToolUsage, Waiting
from agents.tool_cache import NEGATIVE_TTL_S, CacheAway, Entry, ToolCache

logger = logging.getLogger(__name__)

LOCK_S = 3.0
POLL_S = 0.05

Make = Callable[[], Awaitable[ToolResult | Waiting]]


@dataclass(frozen=True, kw_only=True)
class SingleFlight:
    """`is_fresh`: what is there is made anew, for this one and for those who come after. `patience_s`: how
    long another's run is waited for before this one runs by itself."""

    cache: ToolCache
    key: str
    ttl_s: float
    patience_s: float
    is_fresh: bool = False
    lock_s: float = LOCK_S

    async def result(self, make: Make) -> ToolResult | Waiting:
        """What the cache has, or what `make` brings, which is run at most once by this caller."""
        asked_at, gives_up_at = datetime.now(UTC), time.monotonic() + self.patience_s
        try:
            if entry := await self._kept(asked_at):
                return as_cached(entry)
            while (number := await self.cache.lock(self.key, lock_s=self.lock_s)) is None:
                if time.monotonic() > gives_up_at:
                    return await make()
                await asyncio.sleep(POLL_S)
                if entry := await self._kept(asked_at):
                    return as_cached(entry)
            # Another may have been done between the look and the lock.
            if entry := await self._kept(asked_at):
                await self.cache.unlock(self.key, number)
                return as_cached(entry)
        except CacheAway:
            return await make()
        return await self._made(make, number)

    async def _kept(self, asked_at: datetime) -> Entry | None:
        entry = await self.cache.read(self.key)
        return entry if entry and (not self.is_fresh or entry.made_at >= asked_at) else None

    async def _made(self, make: Make, number: int) -> ToolResult | Waiting:
        began, made_at = time.monotonic(), datetime.now(UTC)
        result: ToolResult | Waiting | None = None
        try:
            async with self._lock_kept(number):
                result = await make()
        finally:
            with suppress(CacheAway):
                if isinstance(result, ToolResult) and not result.is_error:
                    took_ms = int((time.monotonic() - began) * 1000)
                    entry = Entry(result=result, made_at=made_at, took_ms=took_ms)
                    ttl_s = min(self.ttl_s, NEGATIVE_TTL_S) if result.found_nothing else self.ttl_s
                    await self.cache.write(self.key, entry, number=number, ttl_s=ttl_s)
                else:
                    await self.cache.unlock(self.key, number)
        return result

    @asynccontextmanager
    async def _lock_kept(self, number: int) -> AsyncGenerator[None, None]:
        keeper = asyncio.create_task(self._keep(number))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait({keeper})

    async def _keep(self, number: int) -> None:
        while True:
            await asyncio.sleep(self.lock_s / 3)
            with suppress(CacheAway):
                await self.cache.keep_lock(self.key, number, lock_s=self.lock_s)


def as_cached(entry: Entry) -> ToolResult:
    """The result for one who did not have to run the tool. Its passages keep the time they were fetched."""
    return replace(
        entry.result,
        usage=ToolUsage(),
        made_at=entry.made_at,
        saved=entry.result.usage,
        saved_ms=entry.took_ms,
    )
