"""The keys and values of one sequence, contiguous in memory and grown as the sequence grows."""

import torch
from torch import Tensor

from inference.config import ModelConfig

# Room is taken in steps of this many tokens, so that a decode step rarely has to move the cache.
GRANULARITY_TOKENS = 256


def round_up(num_tokens: int) -> int:
    """The capacity that a cache for this many tokens takes."""
    return -(-num_tokens // GRANULARITY_TOKENS) * GRANULARITY_TOKENS


class KVCache:
    """Positions 0 .. num_tokens - 1 are filled; up to `capacity` may be.

    `layers[i]` is (keys, values) of layer i, each [num_kv_heads, capacity, head_dim].
    """

    def __init__(self, config: ModelConfig, *, capacity: int, dtype: torch.dtype) -> None:
        self._shape = (config.num_layers, 2, config.num_kv_heads)
        self._head_dim = config.head_dim
        self._dtype = dtype
        self.num_tokens = 0
        self._hold(self._empty(round_up(capacity)))

    @property
    def capacity(self) -> int:
        return self._data.shape[3]

    def grow(self, capacity: int) -> None:
        """Make room for at least `capacity` tokens, keeping what is filled."""
        if capacity <= self.capacity:
            return
        grown = self._empty(round_up(capacity))
        grown[..., : self.num_tokens, :] = self._data[..., : self.num_tokens, :]
        self._hold(grown)

    def truncate(self, num_tokens: int) -> None:
        """Forget every position from `num_tokens` on."""
        self.num_tokens = min(self.num_tokens, num_tokens)

    def copy_prefix(self, source: "KVCache", num_tokens: int) -> None:
        """Start this cache with the first `num_tokens` positions of another."""
        assert num_tokens <= min(source.num_tokens, self.capacity)
        self._data[..., :num_tokens, :] = source._data[..., :num_tokens, :]
        self.num_tokens = num_tokens

    def _empty(self, capacity: int) -> Tensor:
        return torch.empty(*self._shape, capacity, self._head_dim, dtype=self._dtype)

    def _hold(self, data: Tensor) -> None:
        self._data = data
        self.layers = [(layer[0], layer[1]) for layer in data]
