"""A connection to Redis that waits outages out."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (  # type: ignore[attr-defined]  # its types lack OutOfMemoryError
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)

from inference.request_queue import keys
from inference.request_queue.messages import HEARTBEAT_TTL_S
from inference.request_queue.transport import TransportLost

logger = logging.getLogger(__name__)

# What passes by itself: Redis is away, or cannot write for now.
OUTAGES = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError)

Result = TypeVar("Result")


class RedisLink:
    """`client` for single calls; `steadily` for calls that are tried again for `patience_s`."""

    def __init__(self, redis_url: str, *, patience_s: float) -> None:
        # One try a call: `steadily` does the waiting, so that each call is patient for the same time in all.
        self.client: Any = redis.Redis.from_url(
            redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=10.0, socket_connect_timeout=5.0
        )
        self._patience_s = patience_s
        self._back_at = float("-inf")

    def was_lost_lately(self) -> bool:
        return time.monotonic() - self._back_at < HEARTBEAT_TTL_S

    async def steadily(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Try again until Redis answers; raises TransportLost when patience ends."""
        lost_at: float | None = None
        delay_s = 0.05
        num_cancelled = _num_cancelled()
        while True:
            try:
                result = await call()
            except OUTAGES as error:
                _heed(num_cancelled)
                now = time.monotonic()
                if lost_at is None:
                    logger.warning("Redis cannot be reached, trying again: %s", error)
                    lost_at = now
                if now - lost_at >= self._patience_s:
                    raise TransportLost("The request queue (Redis) cannot be reached.") from error
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, 0.5)
            else:
                _heed(num_cancelled)
                if lost_at is not None:
                    logger.warning("Redis is back")
                    self._back_at = time.monotonic()
                return result

    async def in_group(self, queues: list[str], call: Callable[[], Awaitable[Result]]) -> Result:
        """A call on these queues, whose groups are made where they are missing: at the first start, or after
        Redis came back empty.
        """
        try:
            return await self.steadily(call)
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
        for queue in queues:
            await self.steadily(lambda queue=queue: self._make_group(queue))  # type: ignore[misc]  # mypy cannot infer a default's type
        return await self.steadily(call)

    async def aclose(self) -> None:
        await self.client.aclose()

    async def _make_group(self, queue: str) -> None:
        try:
            await self.client.xgroup_create(queue, keys.GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise


def _num_cancelled() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def _heed(num_before: int) -> None:
    """Raise the cancellation that came during a call, if one did: the client now and then swallows it and
    answers as if nothing had been, or with a broken connection. Whoever was cancelled would go on for ever.
    """
    if _num_cancelled() > num_before:
        raise asyncio.CancelledError


def streams(found: Any) -> list[tuple[str, list[tuple[bytes, dict[bytes, bytes]]]]]:
    """What a read of streams gave, whichever shape the client answers in: names and their entries."""
    pairs = found.items() if isinstance(found, dict) else found or ()
    return [(name.decode(), [(entry_id, fields) for entry_id, fields in entries]) for name, entries in pairs]
