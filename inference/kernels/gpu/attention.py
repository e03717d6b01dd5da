"""Attention's common parts, and prompts: queries of many positions over keys and values made for each head.

Scores are kept in powers of two: exp2 is what the hardware computes.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.kernels.gpu.interpreting import INTERPRETED
from inference.kernels.gpu.tuning import AttentionConfig

LOG2_E = 1.4426950408889634


def prefill(
    queries: Tensor,
    made: Tensor,
    shared_keys: Tensor | None,
    *,
    start: int,
    first: int,
    nope: int,
    scale: float,
    config: AttentionConfig,
) -> tuple[Tensor, Tensor]:
    """A run of queries attends to a run of positions, causally, by keys and values made for each head.

    queries      bf16 [num_queries, num_heads, nope + rope]; query i stands at position start + i
    made         bf16 [num_positions, num_kv_heads, nope + v_dim]: position first + j's key and value of a
                 head, which serves num_heads // num_kv_heads heads in a row
    shared_keys  bf16 [num_positions, rope], rows may lie apart: what follows in every head's key, if anything
    returns      fp32 [num_queries, num_heads, v_dim], and fp32 [num_queries, num_heads]: log2 of the sum of
                 the softmax, by which runs of positions are put together (`join`); -inf where a query sees
                 none
    """
    num_queries, num_heads, query_width = queries.shape
    num_positions, num_kv_heads, made_width = made.shape
    value_width = made_width - nope
    attended = torch.empty(num_queries, num_heads, value_width, dtype=torch.float32, device=queries.device)
    logs = torch.empty(num_queries, num_heads, dtype=torch.float32, device=queries.device)
    _prefill[(triton.cdiv(num_queries, config.block_heads), num_heads)](
        queries,
        made,
        made if shared_keys is None else shared_keys,
        attended,
        logs,
        num_queries,
        num_positions,
        num_heads,
        start - first,
        0 if shared_keys is None else shared_keys.stride(0),
        scale * LOG2_E,
        NOPE=nope,
        ROPE=query_width - nope,
        VALUE=value_width,
        GROUP=num_heads // num_kv_heads,
        QUERIES=config.block_heads,
        POSITIONS=config.block_positions,
        STAGES=config.num_stages,
        num_warps=config.num_warps,
    )
    return attended, logs


@triton.jit
def _prefill(
    queries, made, shared_keys, attended, logs, num_queries, num_positions, num_heads, offset, shared_stride,
    scale, NOPE: tl.constexpr, ROPE: tl.constexpr, VALUE: tl.constexpr, GROUP: tl.constexpr,
    QUERIES: tl.constexpr, POSITIONS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    MADE: tl.constexpr = NOPE + VALUE
    head = tl.program_id(1)
    rows = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    is_query = rows < num_queries
    nopes, values = tl.arange(0, NOPE), tl.arange(0, VALUE)
    own = queries + (rows.to(tl.int64) * num_heads + head)[:, None] * (NOPE + ROPE)
    fixed = tl.load(own + nopes[None, :], mask=is_query[:, None], other=0.0)
    if ROPE > 0:
        ropes = tl.arange(0, ROPE)
        turning = tl.load(own + NOPE + ropes[None, :], mask=is_query[:, None], other=0.0)
    highest = tl.full([QUERIES], float("-inf"), dtype=tl.float32)
    total = tl.zeros([QUERIES], dtype=tl.float32)
    sums = tl.zeros([QUERIES, VALUE], dtype=tl.float32)
    last_seen = (tl.program_id(0) + 1) * QUERIES + offset
    for begin in tl.range(0, tl.minimum(num_positions, last_seen), POSITIONS, num_stages=STAGES):
        positions = begin + tl.arange(0, POSITIONS)
        is_position = positions < num_positions
        at = made + (positions.to(tl.int64) * (num_heads // GROUP) + head // GROUP)[:, None] * MADE
        keys = tl.load(at + nopes[None, :], mask=is_position[:, None], other=0.0)
        scores = dot(fixed, tl.trans(keys), None)
        if ROPE > 0:
            shared = tl.load(
                shared_keys + positions.to(tl.int64)[:, None] * shared_stride + ropes[None, :],
                mask=is_position[:, None],
                other=0.0,
            )
            scores += dot(turning, tl.trans(shared), None)
        is_seen = (positions[None, :] <= rows[:, None] + offset) & is_position[None, :]
        scores = tl.where(is_seen, scores * scale, float("-inf"))
        highest, total, sums, shares = soften(scores, highest, total, sums)
        contents = tl.load(at + NOPE + values[None, :], mask=is_position[:, None], other=0.0)
        sums = dot(shares.to(contents.dtype), contents, sums)
    out = rows.to(tl.int64) * num_heads + head
    is_empty = total == 0.0
    divided = sums / tl.where(is_empty, 1.0, total)[:, None]
    tl.store(attended + out[:, None] * VALUE + values[None, :], divided, mask=is_query[:, None])
    tl.store(
        logs + out,
        tl.where(is_empty, float("-inf"), highest + tl.log2(tl.where(is_empty, 1.0, total))),
        mask=is_query,
    )


def join(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """What `prefill` gave for several runs of positions, as if they were one.

    returns fp32 [num_queries, num_heads, v_dim]
    """
    if len(parts) == 1:
        return parts[0][0]
    logs = torch.stack([log for _, log in parts])
    weights = torch.exp2(logs - logs.max(dim=0).values)
    attended = torch.stack([part for part, _ in parts])
    return (attended * weights.unsqueeze(-1)).sum(dim=0) / weights.sum(dim=0).unsqueeze(-1)


@triton.jit
def soften(scores, highest, total, sums):
    """One step of the running softmax: the new maxima, totals and sums, and the scores' shares."""
    now_highest = tl.maximum(highest, tl.max(scores, axis=1))
    reference = tl.where(now_highest == float("-inf"), 0.0, now_highest)
    faded = tl.exp2(highest - reference)
    shares = tl.exp2(scores - reference[:, None])
    return now_highest, total * faded + tl.sum(shares, axis=1), sums * faded[:, None], shares


@triton.jit
def dot(left, right, added):
    if INTERPRETED:
        return tl.dot(left.to(tl.float32), right.to(tl.float32), added, input_precision="ieee")
    return tl.dot(left, right, added)


@triton.jit
def merge(gathered, logs, result, num_heads, RANK: tl.constexpr, SPLITS: tl.constexpr):
    """The splits' sums by the weight of each, in order."""
    sequence, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    ranks = tl.arange(0, RANK)
    highest = float("-inf")
    for split in tl.static_range(SPLITS):
        highest = tl.maximum(highest, tl.load(logs + (sequence * SPLITS + split) * num_heads + head))
    reference = tl.where(highest == float("-inf"), 0.0, highest)
    total = 0.0
    sums = tl.zeros([RANK], dtype=tl.float32)
    for split in tl.static_range(SPLITS):
        at = (sequence * SPLITS + split) * num_heads + head
        weight = tl.exp2(tl.load(logs + at) - reference)
        total += weight
        sums += weight * tl.load(gathered + at * RANK + ranks)
    sums = sums / tl.where(total == 0.0, 1.0, total)
    tl.store(result + (sequence * num_heads + head) * RANK + ranks, sums.to(result.dtype.element_ty))
