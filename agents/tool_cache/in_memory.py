"""The cache of one process: for tests, benches and scripts, and safe between threads."""

import itertools
import threading
import time
from dataclasses import dataclass, field

from agents.tool_cache import Entry

MAX_ENTRIES = 10_000


@dataclass
class _Until:
    """A thing and the monotonic time it ends at."""

    thing: Entry | int
    ends_at: float


@dataclass
class InMemoryToolCache:
    """The oldest entry goes when there are too many."""

    _entries: dict[str, _Until] = field(default_factory=dict)
    _locks: dict[str, _Until] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _guard: threading.Lock = field(default_factory=threading.Lock)

    async def read(self, key: str) -> Entry | None:
        with self._guard:
            entry = _alive(self._entries, key)
        return entry if isinstance(entry, Entry) else None

    async def lock(self, key: str, *, lock_s: float) -> int | None:
        with self._guard:
            if _alive(self._locks, key) is not None:
                return None
            number = next(self._numbers)
            self._locks[key] = _Until(number, time.monotonic() + lock_s)
            return number

    async def keep_lock(self, key: str, number: int, *, lock_s: float) -> bool:
        with self._guard:
            if _alive(self._locks, key) != number:
                return False
            self._locks[key].ends_at = time.monotonic() + lock_s
            return True

    async def write(self, key: str, entry: Entry, *, number: int, ttl_s: float) -> bool:
        with self._guard:
            if _alive(self._locks, key) != number:
                return False
            del self._locks[key]
            self._entries.pop(key, None)
            self._entries[key] = _Until(entry, time.monotonic() + ttl_s)
            if len(self._entries) > MAX_ENTRIES:
                del self._entries[next(iter(self._entries))]
            return True

    async def unlock(self, key: str, number: int) -> None:
        with self._guard:
            if _alive(self._locks, key) == number:
                del self._locks[key]


def _alive(things: dict[str, _Until], key: str) -> Entry | int | None:
    until = things.get(key)
    if until is None:
        return None
    if until.ends_at <= time.monotonic():
        del things[key]
        return None
    return until.thing
