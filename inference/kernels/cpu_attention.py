"""Attention over one sequence's own cache on the CPU, for a single new token and for a run of new tokens."""

import torch
from torch import Tensor
from torch.nn import functional

# Keeps a slice's scores in the cores' caches: measured 2.4 times as fast as 256 queries at once over 4,000
# positions.
_QUERIES_AT_ONCE = 64


def decode_attention(queries: Tensor, keys: Tensor, values: Tensor, *, scale: float) -> Tensor:
    """What one new token, the last position, sees; `scale` multiplies queries times keys.

    queries       [num_heads, head_dim]
    keys, values  [num_kv_heads, num_positions, head_dim], last dimension contiguous, queries' dtype
    returns       [num_heads, head_dim], queries' dtype

    The heads that share a kv head go in as rows of one query block, so that its keys are read once: in bf16
    that is ten times as fast as asking torch for grouped heads, and level with products written by hand in
    fp32 over a cache of twice the size.
    """
    num_kv_heads, _, head_dim = keys.shape
    assert queries.dtype == keys.dtype
    assert queries.shape[1] == head_dim
    grouped = queries.reshape(1, num_kv_heads, -1, head_dim)
    attended = functional.scaled_dot_product_attention(
        grouped, keys.unsqueeze(0), values.unsqueeze(0), scale=scale
    )
    return attended.reshape(queries.shape)


def prefill_attention(queries: Tensor, keys: Tensor, values: Tensor, *, scale: float) -> Tensor:
    """What a run of new tokens, the last positions, sees, each of nothing after itself.

    queries  [num_queries, num_heads, head_dim]
    keys     [num_kv_heads, num_positions, head_dim], last dimension contiguous, queries' dtype
    values   [num_kv_heads, num_positions, value_dim], likewise
    returns  [num_queries, num_heads, value_dim], queries' dtype
    """
    num_queries, num_heads, head_dim = queries.shape
    num_kv_heads, num_positions, _ = keys.shape
    assert queries.dtype == keys.dtype
    assert num_queries <= num_positions
    num_before = num_positions - num_queries
    scaled = (queries * scale).view(num_queries, num_kv_heads, -1, head_dim)
    value_dim = values.shape[2]
    result = queries.new_empty(num_queries, num_kv_heads, num_heads // num_kv_heads, value_dim)
    for start in range(0, num_queries, _QUERIES_AT_ONCE):
        end = min(start + _QUERIES_AT_ONCE, num_queries)
        seen = num_before + end
        block = _attend(scaled[start:end], keys[:, :seen], values[:, :seen])
        result[start:end] = block
    return result.view(num_queries, num_heads, value_dim)


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """queries [num_queries, num_kv_heads, group, head_dim], scaled; the last of them sees every position."""
    num_queries, num_kv_heads, group, head_dim = queries.shape
    rows = queries.permute(1, 2, 0, 3).reshape(num_kv_heads, group * num_queries, head_dim)
    scores = torch.bmm(rows, keys.transpose(1, 2)).float().view(num_kv_heads, group, num_queries, -1)
    future = torch.full((num_queries, num_queries), float("-inf")).triu_(1)
    scores[..., -num_queries:] += future
    weights = scores.softmax(dim=-1).to(values.dtype).view(num_kv_heads, group * num_queries, -1)
    attended = torch.bmm(weights, values).view(num_kv_heads, group, num_queries, -1)
    return attended.permute(2, 0, 1, 3)
