"""Grouped-query attention over per-sequence caches: many sequences in one forward pass, each over its own
keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.config import ModelConfig
from inference.kernels import cpu_attention
from inference.model import rope
from inference.model.kv_cache import KVCache
from inference.model.layers import Linear


@dataclass(frozen=True)
class Span:
    """The next `num_tokens` tokens of the sequence that `cache` belongs to."""

    cache: KVCache
    num_tokens: int


def is_prefilling(spans: Sequence[Span]) -> bool:
    """Whether a prompt is being read: runs of tokens, not one new token a sequence. A pass holds one kind
    only.
    """
    return any(span.num_tokens > 1 for span in spans)


@dataclass(frozen=True)
class Attention:
    """`qkv` gives queries, keys and values side by side, heads of pairwise-rotating dimensions."""

    config: ModelConfig
    qkv: Linear
    bias: Tensor | None
    output: Linear

    def __call__(self, x: Tensor, rotations: Tensor, spans: Sequence[Span], *, layer: int) -> Tensor:
        """x [num_tokens, hidden_size], the spans' tokens one after the other -> the same shape.

        Writes the new keys and values behind each cache's filled positions; the caches' counts stay as they
        are.
        """
        config = self.config
        is_prefill = is_prefilling(spans)
        projected = self.qkv(x, is_prefill=is_prefill).float()
        if self.bias is not None:
            projected += self.bias
        heads = projected.view(x.shape[0], -1, config.head_dim)
        num_rotated = config.num_heads + config.num_kv_heads
        rotated = rope.rotate(heads[:, :num_rotated], rotations).to(x.dtype)
        queries, keys = rotated[:, : config.num_heads], rotated[:, config.num_heads :]
        values = heads[:, num_rotated:].to(x.dtype)
        attended, start = [], 0
        for span in spans:
            rows = slice(start, start + span.num_tokens)
            attended.append(_attend(queries[rows], keys[rows], values[rows], span.cache, layer))
            start = rows.stop
        merged = attended[0] if len(attended) == 1 else torch.cat(attended)
        return self.output(merged.reshape(x.shape[0], -1), is_prefill=is_prefill)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, cache: KVCache, layer: int) -> Tensor:
    """queries [num_tokens, num_heads, head_dim], keys and values [num_tokens, num_kv_heads, head_dim]."""
    start, end = cache.num_tokens, cache.num_tokens + queries.shape[0]
    all_keys, all_values = cache.layers[layer]
    all_keys[:, start:end] = keys.transpose(0, 1)
    all_values[:, start:end] = values.transpose(0, 1)
    seen_keys, seen_values = all_keys[:, :end], all_values[:, :end]
    if queries.shape[0] == 1:
        return cpu_attention.decode_attention(
            queries[0], seen_keys, seen_values, scale=1 / queries.shape[-1] ** 0.5
        ).unsqueeze(0)
    return cpu_attention.prefill_attention(
        queries, seen_keys, seen_values, scale=1 / queries.shape[-1] ** 0.5
    )
