"""Grouped-query attention over the pool: many sequences in one pass, each over its own keys."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.config import ModelConfig
from inference.kernels import cpu_attention
from inference.model import paging, parameters, rope
from inference.model.layers import Linear, RMSNorm
from inference.model.packing import Packer
from inference.model.paging import Pass


@dataclass(frozen=True)
class GroupedQuery:
    """`qkv` gives queries, keys and values side by side, heads of pairwise-rotating dimensions."""

    config: ModelConfig
    qkv: Linear
    bias: Tensor | None
    query_norm: RMSNorm | None
    key_norm: RMSNorm | None
    output: Linear

    def __call__(self, x: Tensor, run: Pass, *, layer: int) -> Tensor:
        """x [num_tokens, hidden_size] -> the same shape. Writes the new keys and values into the pool."""
        config = self.config
        projected = self.qkv(x, is_prefill=run.is_prompt).float()
        if self.bias is not None:
            projected += self.bias
        heads = projected.view(x.shape[0], -1, config.head_dim)
        queries, keys, values = heads.split_with_sizes(
            [config.num_heads, config.num_kv_heads, config.num_kv_heads], 1
        )
        queries = self._placed(queries, self.query_norm, run).to(x.dtype)
        keys = self._placed(keys, self.key_norm, run)
        attended = torch.empty(x.shape[0], config.num_heads, config.head_dim, dtype=x.dtype)
        pages = run.pool.layers[layer]
        for place in run.places:
            paging.write_heads(pages, place, keys[place.rows], values[place.rows])
            seen_keys, seen_values = paging.heads(pages, place, x.dtype)
            if run.is_prompt:
                attended[place.rows] = cpu_attention.prefill_attention(
                    queries[place.rows], seen_keys, seen_values, scale=config.softmax_scale
                )
            else:
                attended[place.rows] = cpu_attention.decode_attention(
                    queries[place.rows][0], seen_keys, seen_values, scale=config.softmax_scale
                )
        return self.output(attended.flatten(1), is_prefill=run.is_prompt)

    def _placed(self, heads: Tensor, norm: RMSNorm | None, run: Pass) -> Tensor:
        normed = heads.contiguous() if norm is None else norm.exact(heads)
        return rope.rotate(normed, run.rotations)


def build(weights: parameters.GroupedQueryAttention, config: ModelConfig, packer: Packer) -> GroupedQuery:
    eps = config.rms_norm_eps
    return GroupedQuery(
        config=config,
        qkv=packer.linear(weights.query, weights.key, weights.value),
        bias=weights.bias,
        query_norm=None if weights.query_norm is None else packer.norm(weights.query_norm, eps),
        key_norm=None if weights.key_norm is None else packer.norm(weights.key_norm, eps),
        output=packer.linear(weights.output),
    )
