"""Pages kept for reading again: within a turn the same for an hour, so that a turn is consistent with itself;
between turns as long as the site allows, and for others only where the site says that it is for everybody."""

import hashlib
import logging
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from agents.pages.freshness import Freshness
from agents.pages.page import Page

TURN_S = 3_600.0
KEPT_S = 86_400.0  # beyond its freshness, where one can ask whether it has changed
MAX_BYTES = 2 * 1024 * 1024  # packed
MAX_MEMORY_BYTES = 32 * 1024 * 1024
MAX_REDIS_BYTES = 256 * 1024 * 1024
BESIDE_BYTES = 300  # what Redis needs for a key, and we to count it
AWAY_S = 5.0
TIMEOUT_S = 1.0
PREFIX = "page"

# Sizes are counted until their key is pushed out: keys that have expired meanwhile were written before those
# that live on, and so go first.
_PUT = """
local value, ttl, now, most, size = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local before = tonumber(redis.call('HGET', KEYS[3], KEYS[1]) or 0)
redis.call('SET', KEYS[1], value, 'PX', ttl)
redis.call('HSET', KEYS[3], KEYS[1], size)
redis.call('ZADD', KEYS[2], now, KEYS[1])
local total = redis.call('HINCRBY', KEYS[3], 'total', size - before)
while total > most do
  local oldest = redis.call('ZPOPMIN', KEYS[2])[1]
  if not oldest then break end
  total = redis.call('HINCRBY', KEYS[3], 'total', -tonumber(redis.call('HGET', KEYS[3], oldest) or 0))
  redis.call('HDEL', KEYS[3], oldest)
  redis.call('DEL', oldest)
end
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A source as it was read. `sha256` is of the bytes as they came, of a rendered page of what it showed,
    of a document of the index of its text. `num_bytes` is what fetching it took now."""

    source: str
    page: Page
    fetched_at: datetime
    sha256: str
    num_bytes: int = 0
    is_local: bool = False
    is_rendered: bool = False


@dataclass(frozen=True, kw_only=True)
class Kept:
    opened: Opened
    freshness: Freshness


class _Place(msgspec.Struct, frozen=True):
    """Where the content of an address lies: pages are large, and several turns read the same."""

    content: str
    freshness: Freshness


class Store(Protocol):
    """Forgets what it wants to."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, value: bytes, *, ttl_s: float) -> None: ...

    def keep(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """As `put`, for a value that is always the same: never for shorter than was said before."""
        ...


class KeptPages:
    """Blocking, as its store is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of_turn(self, url: str, *, turn: str) -> Kept | None:
        return self._read(f"turn:{turn}:{_name(url)}") if turn else None

    def of_tenant(self, url: str, *, tenant: str) -> Kept | None:
        """What was kept for the tenant, or for everybody; maybe no longer fresh."""
        own = self._read(f"of:{tenant}:{_name(url)}") if tenant else None
        return own or self._read(f"all:{_name(url)}")

    def keep(self, url: str, kept: Kept, *, tenant: str, turn: str, now: datetime) -> None:
        """For the turn, and beyond it as long as the site lets it be kept."""
        if kept.freshness.may_keep and (tenant or kept.freshness.is_public):
            key = f"all:{_name(url)}" if kept.freshness.is_public else f"of:{tenant}:{_name(url)}"
            left_s = max((kept.freshness.fresh_until - now).total_seconds(), 0.0)
            if ttl_s := left_s + (KEPT_S if kept.freshness.conditions else 0.0):
                self._write(key, kept, ttl_s=ttl_s)
        self.pin(url, kept, turn=turn)

    def pin(self, url: str, kept: Kept, *, turn: str) -> None:
        """The turn reads this one from now on."""
        if turn:
            self._write(f"turn:{turn}:{_name(url)}", kept, ttl_s=TURN_S)

    def _write(self, key: str, kept: Kept, *, ttl_s: float) -> None:
        content = zlib.compress(msgspec.msgpack.encode(kept.opened), 1)
        if len(content) > MAX_BYTES:
            return
        name = hashlib.sha256(content).hexdigest()
        self._store.keep(f"content:{name}", content, ttl_s=ttl_s)
        self._store.put(key, msgspec.msgpack.encode(_Place(name, kept.freshness)), ttl_s=ttl_s)

    def _read(self, key: str) -> Kept | None:
        try:
            found = self._store.get(key)
            place = msgspec.msgpack.decode(found, type=_Place) if found else None
            content = self._store.get(f"content:{place.content}") if place else None
            if place is None or content is None:
                return None
            opened = msgspec.msgpack.decode(zlib.decompress(content), type=Opened)
        except (msgspec.MsgspecError, zlib.error):
            return None  # another version of the platform wrote it
        return Kept(opened=opened, freshness=place.freshness)


class InMemory:
    """Of one process, the oldest forgotten first."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._num_bytes = 0

    def get(self, key: str) -> bytes | None:
        with self._lock:
            until, value = self._entries.get(key, (0.0, b""))
            return value if self._clock() < until else None

    def keep(self, key: str, value: bytes, *, ttl_s: float) -> None:
        until, _ = self._entries.get(key, (0.0, b""))
        self.put(key, value, ttl_s=max(ttl_s, until - self._clock()))

    def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        with self._lock:
            _, old = self._entries.pop(key, (0.0, b""))
            self._entries[key] = (self._clock() + ttl_s, value)
            self._num_bytes += len(value) - len(old)
            while self._num_bytes > MAX_MEMORY_BYTES:
                _, (_, gone) = self._entries.popitem(last=False)
                self._num_bytes -= len(gone)


class InRedis:
    """Of all workers: a turn that changes its worker goes on reading the same. Never more than `max_bytes`
    together: what was written longest ago goes first. A Redis that is away keeps nothing."""

    def __init__(self, url: str, *, max_bytes: int = MAX_REDIS_BYTES) -> None:
        self._max_bytes = max_bytes
        self._client = redis.Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        self._put = self._client.register_script(_PUT)
        self._away_until = 0.0

    def get(self, key: str) -> bytes | None:
        found = self._asked(lambda: self._client.get(f"{PREFIX}:{key}"))
        return found if isinstance(found, bytes) else None

    def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        keys = (f"{PREFIX}:{key}", f"{PREFIX}:written", f"{PREFIX}:sizes")
        ttl_ms = max(1, int(ttl_s * 1_000))
        words = (value, ttl_ms, time.time(), self._max_bytes, len(value) + len(key) + BESIDE_BYTES)
        self._asked(lambda: self._put(keys=keys, args=words))

    def keep(self, key: str, value: bytes, *, ttl_s: float) -> None:
        left_ms = self._asked(lambda: self._client.pttl(f"{PREFIX}:{key}"))
        if not isinstance(left_ms, int) or left_ms < ttl_s * 1_000:
            self.put(key, value, ttl_s=ttl_s)

    def _asked(self, ask: Callable[[], object]) -> object:
        if time.monotonic() < self._away_until:
            return None
        try:
            return ask()
        except (RedisError, OSError):
            self._away_until = time.monotonic() + AWAY_S
            logger.warning("kept pages are away: pages are fetched anew")
            return None


def _name(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
