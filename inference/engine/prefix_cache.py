"""All KV caches of an engine within one budget: those of running sequences, and finished ones kept for their
prefixes.
"""

from collections.abc import Sequence as Tokens
from dataclasses import dataclass

import torch

from inference.config import ModelConfig
from inference.model.kv_cache import KVCache, round_up

# A shorter shared prefix costs less to compute than to look after.
MIN_SHARED_TOKENS = 16
# One token's logits are needed; two are computed as a prompt, with the numbers a whole prompt would have
# brought.
MIN_UNCOMPUTED_TOKENS = 2


class OutOfCache(Exception):
    """The budget has no room, even with every kept cache given up."""


@dataclass(frozen=True, eq=False)
class KeptPrefix:
    """A finished sequence's cache; `token_ids` are the tokens computed in it."""

    token_ids: list[int]
    salt: str
    cache: KVCache


class PrefixCache:
    """Hands out caches, takes them back, and finds computed prefixes for new prompts.

    Memory is counted in tokens of capacity. Kept caches give way, the longest unused first, before anything
    is refused.
    """

    def __init__(self, config: ModelConfig, *, dtype: torch.dtype, budget_tokens: int) -> None:
        self._config = config
        self._dtype = dtype
        self.budget_tokens = budget_tokens
        self.num_used_tokens = 0
        self._kept: list[KeptPrefix] = []

    @property
    def num_kept_tokens(self) -> int:
        return sum(kept.cache.capacity for kept in self._kept)

    def take(self, token_ids: Tokens[int], *, salt: str, capacity: int) -> KVCache:
        """A cache with room for `capacity` tokens whose filled positions are the longest kept prefix of
        `token_ids`.

        The last tokens are left to compute, for their logits. Raises OutOfCache.
        """
        source, num_shared = self._longest_shared(token_ids, salt)
        if source is not None and 2 * num_shared >= len(source.token_ids):
            # Mostly the same conversation: go on in its memory.
            return self._reuse(source, num_shared, capacity)
        self._make_room(round_up(capacity), spared=source)
        cache = KVCache(self._config, capacity=capacity, dtype=self._dtype)
        self.num_used_tokens += cache.capacity
        if source is not None:
            cache.copy_prefix(source.cache, num_shared)
        return cache

    def grow(self, cache: KVCache, capacity: int) -> None:
        """Make room in a running sequence's cache. Raises OutOfCache and leaves the cache as it was."""
        if capacity <= cache.capacity:
            return
        self._make_room(round_up(capacity) - cache.capacity)
        self.num_used_tokens -= cache.capacity
        cache.grow(capacity)
        self.num_used_tokens += cache.capacity

    def keep(self, cache: KVCache, token_ids: Tokens[int], *, salt: str) -> None:
        """Take a finished sequence's cache back and hold on to it for later prompts."""
        self.drop(cache)
        if cache.num_tokens >= MIN_SHARED_TOKENS:
            self._kept.append(KeptPrefix(list(token_ids[: cache.num_tokens]), salt, cache))

    def drop(self, cache: KVCache) -> None:
        """Take a cache back and free it: its content is wrong, or its memory is needed elsewhere."""
        self.num_used_tokens -= cache.capacity

    def clear(self) -> None:
        """Free every kept cache."""
        self._kept.clear()

    def _reuse(self, source: KeptPrefix, num_shared: int, capacity: int) -> KVCache:
        if self.num_used_tokens + max(source.cache.capacity, round_up(capacity)) > self.budget_tokens:
            raise OutOfCache
        self._kept.remove(source)
        source.cache.truncate(num_shared)
        self.num_used_tokens += source.cache.capacity
        self.grow(source.cache, capacity)
        return source.cache

    def _make_room(self, num_tokens: int, *, spared: KeptPrefix | None = None) -> None:
        """Give kept caches up, `spared` last."""
        if self.num_used_tokens + num_tokens > self.budget_tokens:
            raise OutOfCache
        if spared is not None:
            self._kept.remove(spared)
            self._kept.append(spared)
        while self.num_used_tokens + self.num_kept_tokens + num_tokens > self.budget_tokens:
            self._kept.pop(0)

    def _longest_shared(self, token_ids: Tokens[int], salt: str) -> tuple[KeptPrefix | None, int]:
        best, best_length = None, MIN_SHARED_TOKENS - 1
        for kept in self._kept:
            if kept.salt != salt:
                continue
            length = min(_shared_length(kept.token_ids, token_ids), len(token_ids) - MIN_UNCOMPUTED_TOKENS)
            if length > best_length:
                best, best_length = kept, length
        return best, best_length if best else 0


def _shared_length(one: Tokens[int], other: Tokens[int]) -> int:
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
