"""The cache that all workers share, on Redis."""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from agents.tool_cache import LARGEST_ENTRY_BYTES, CacheAway, Entry

logger = logging.getLogger(__name__)

PREFIX = "toolcache"
TIMEOUT_S = 1.0
AWAY_S = 5.0  # that a Redis which did not answer is not asked again

_LOCK = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local number = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], number, 'PX', ARGV[1])
return number"""
_KEEP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])"""
_WRITE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return redis.call('DEL', KEYS[1])"""
_UNLOCK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])"""

_DECODER = msgspec.json.Decoder(Entry)


class RedisToolCache:
    """For one event loop; `opened` closes what it opens."""

    def __init__(self, client: "redis.asyncio.Redis[bytes]") -> None:
        self._client = client
        self._away_until = 0.0

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> "AsyncGenerator[RedisToolCache, None]":
        client = redis.asyncio.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
        )
        async with client:
            yield cls(client)

    async def read(self, key: str) -> Entry | None:
        written = await self._ask("GET", f"{PREFIX}:{key}")
        try:
            return _DECODER.decode(written) if written else None
        except msgspec.MsgspecError:
            return None  # another version of the platform wrote it

    async def lock(self, key: str, *, lock_s: float) -> int | None:
        keys = (f"{PREFIX}:{key}:lock", f"{PREFIX}:locks")
        return int(await self._ask("EVAL", _LOCK, 2, *keys, _ms(lock_s))) or None

    async def keep_lock(self, key: str, number: int, *, lock_s: float) -> bool:
        return bool(await self._ask("EVAL", _KEEP, 1, f"{PREFIX}:{key}:lock", number, _ms(lock_s)))

    async def write(self, key: str, entry: Entry, *, number: int, ttl_s: float) -> bool:
        encoded = msgspec.json.encode(entry)
        if len(encoded) > LARGEST_ENTRY_BYTES:
            await self.unlock(key, number)
            return False
        keys = (f"{PREFIX}:{key}:lock", f"{PREFIX}:{key}")
        return bool(await self._ask("EVAL", _WRITE, 2, *keys, number, encoded, _ms(ttl_s)))

    async def unlock(self, key: str, number: int) -> None:
        await self._ask("EVAL", _UNLOCK, 1, f"{PREFIX}:{key}:lock", number)

    async def _ask(self, *command: Any) -> Any:
        if time.monotonic() < self._away_until:
            raise CacheAway("Redis did not answer a moment ago")
        execute: Callable[..., Awaitable[Any]] = self._client.execute_command
        try:
            return await execute(*command)
        except (RedisError, OSError) as fault:
            self._away_until = time.monotonic() + AWAY_S
            logger.warning("the tool cache is away: tools run without it")
            raise CacheAway(str(fault)) from fault


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
