"""Results of tools, kept for whoever asks the same again: the port, and what a key is made of.

A cache that is away is no cache, never a fault. Only tools that change nothing are kept here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from agents.tool import Caching, Scope, ToolContext, ToolResult

NEGATIVE_TTL_S = 60.0  # of a result that found nothing
LARGEST_ENTRY_BYTES = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A result as the tool gave it, when that was, and how long it took."""

    result: ToolResult
    made_at: datetime
    took_ms: int


class CacheAway(Exception):
    """The cache cannot be reached."""


class ToolCache(Protocol):
    """Entries by key, and one lock a key, so that many who want the same wait for one who makes it.

    A lock is a number that grows from holder to holder; it ends by itself `lock_s` after it was last kept.
    Every method raises CacheAway.
    """

    async def read(self, key: str) -> Entry | None: ...

    async def lock(self, key: str, *, lock_s: float) -> int | None:
        """The number of the lock, for the one who got it."""
        ...

    async def keep_lock(self, key: str, number: int, *, lock_s: float) -> bool:
        """False when it was lost: another may hold it by now."""
        ...

    async def write(self, key: str, entry: Entry, *, number: int, ttl_s: float) -> bool:
        """Keep the entry and give the lock back; False, and nothing done, for one who lost the lock."""
        ...

    async def unlock(self, key: str, number: int) -> None:
        """Give the lock back; harmless for one who lost it."""
        ...


def key_of(
    *, tool: str, version: str, arguments: Mapping[str, Any], caching: Caching, context: ToolContext
) -> str:
    whose = {
        # Outside any turn a call shares with none.
        Scope.TURN: context.top_turn_id or context.turn_id or context.key,
        Scope.USER: context.tenant,
        Scope.EVERYBODY: "",
    }
    parts = [tool, version, canonical(arguments), caching.scope, whose[caching.scope], list(caching.vary)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def canonical(arguments: Mapping[str, Any]) -> str:
    """The same text for the same arguments, whatever the order of their members. `agents.tooling.arguments`
    has given numbers one spelling."""
    return json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
