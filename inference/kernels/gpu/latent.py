"""Multi-head latent attention: absorbed over the paged pool for single tokens, plain for prompts.

Scores are kept in powers of two: exp2 is what the hardware computes.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.kernels.gpu.interpreting import INTERPRETED
from inference.kernels.gpu.tuning import AttentionConfig

_LOG2_E = 1.4426950408889634


def decode(
    queries: Tensor,
    pool: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    rank: int,
    scale: float,
    config: AttentionConfig,
) -> Tensor:
    """Every sequence's newest token attends to all of its positions, whose latents all heads share.

    queries       bf16 [num_sequences, num_heads, rank + rope_dim], taken into the latents' space, rotated
    pool          bf16 [num_blocks, page, rank + rope_dim], one layer, in pages of so many positions
    block_tables  int32 [num_sequences, most_blocks]
    lengths       int32 [num_sequences], the newest token included; a sequence of none gives zeros
    returns       bf16 [num_sequences, num_heads, rank]: what each head gathered, still in the latents' space

    The positions are cut into `config.num_splits` parts whose sums are put together in order: the same
    bits each time for the same configuration.
    """
    num_sequences, num_heads, width = queries.shape
    splits = config.num_splits
    gathered = torch.empty(num_sequences, splits, num_heads, rank, dtype=torch.float32, device=queries.device)
    logs = torch.empty(num_sequences, splits, num_heads, dtype=torch.float32, device=queries.device)
    _decode[(num_sequences, triton.cdiv(num_heads, config.block_heads), splits)](
        queries,
        pool,
        block_tables,
        lengths,
        gathered,
        logs,
        num_heads,
        block_tables.stride(0),
        scale * _LOG2_E,
        RANK=rank,
        ROPE=width - rank,
        PAGE=pool.shape[1],
        SPLITS=splits,
        HEADS=config.block_heads,
        POSITIONS=config.block_positions,
        STAGES=config.num_stages,
        num_warps=config.num_warps,
    )
    result = torch.empty(num_sequences, num_heads, rank, dtype=queries.dtype, device=queries.device)
    _merge[(num_sequences, num_heads)](
        gathered, logs, result, num_heads, RANK=rank, SPLITS=splits, num_warps=4
    )
    return result


@triton.jit
def _decode(
    queries, pool, block_tables, lengths, gathered, logs, num_heads, table_stride, scale,
    RANK: tl.constexpr, ROPE: tl.constexpr, PAGE: tl.constexpr, SPLITS: tl.constexpr,
    HEADS: tl.constexpr, POSITIONS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    WIDTH: tl.constexpr = RANK + ROPE
    sequence = tl.program_id(0).to(tl.int64)
    split = tl.program_id(2)
    heads = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    is_head = heads < num_heads
    length = tl.load(lengths + sequence)
    share = tl.cdiv(tl.cdiv(length, SPLITS), PAGE) * PAGE
    first = split * share
    end = tl.minimum(first + share, length)
    ranks, ropes = tl.arange(0, RANK), tl.arange(0, ROPE)
    own = queries + (sequence * num_heads + heads[:, None]) * WIDTH
    latent_query = tl.load(own + ranks[None, :], mask=is_head[:, None], other=0.0)
    rope_query = tl.load(own + RANK + ropes[None, :], mask=is_head[:, None], other=0.0)
    highest = tl.full([HEADS], float("-inf"), dtype=tl.float32)
    total = tl.zeros([HEADS], dtype=tl.float32)
    sums = tl.zeros([HEADS, RANK], dtype=tl.float32)
    for start in tl.range(first, end, POSITIONS, num_stages=STAGES):
        positions = start + tl.arange(0, POSITIONS)
        is_seen = positions < end
        pages = tl.load(block_tables + sequence * table_stride + positions // PAGE, mask=is_seen, other=0)
        rows = pool + (pages.to(tl.int64) * PAGE + positions % PAGE) * WIDTH
        latents = tl.load(rows[:, None] + ranks[None, :], mask=is_seen[:, None], other=0.0)
        keys = tl.load(rows[:, None] + RANK + ropes[None, :], mask=is_seen[:, None], other=0.0)
        scores = _dot(latent_query, tl.trans(latents), None) + _dot(rope_query, tl.trans(keys), None)
        scores = tl.where(is_seen[None, :], scores * scale, float("-inf"))
        highest, total, sums, shares = _soften(scores, highest, total, sums)
        sums = _dot(shares.to(latents.dtype), latents, sums)
    at = (sequence * SPLITS + split) * num_heads + heads
    is_empty = total == 0.0
    divided = sums / tl.where(is_empty, 1.0, total)[:, None]
    tl.store(gathered + at[:, None] * RANK + ranks[None, :], divided, mask=is_head[:, None])
    tl.store(
        logs + at,
        tl.where(is_empty, float("-inf"), highest + tl.log2(tl.where(is_empty, 1.0, total))),
        mask=is_head,
    )


@triton.jit
def _soften(scores, highest, total, sums):
    """One step of the running softmax: the new maxima, totals and sums, and the scores' shares."""
    now_highest = tl.maximum(highest, tl.max(scores, axis=1))
    reference = tl.where(now_highest == float("-inf"), 0.0, now_highest)
    faded = tl.exp2(highest - reference)
    shares = tl.exp2(scores - reference[:, None])
    return now_highest, total * faded + tl.sum(shares, axis=1), sums * faded[:, None], shares


@triton.jit
def _dot(left, right, added):
    if INTERPRETED:
        return tl.dot(left.to(tl.float32), right.to(tl.float32), added, input_precision="ieee")
    return tl.dot(left, right, added)


@triton.jit
def _merge(gathered, logs, result, num_heads, RANK: tl.constexpr, SPLITS: tl.constexpr):
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


def prefill(
    queries: Tensor,
    made: Tensor,
    shared_keys: Tensor,
    *,
    start: int,
    first: int,
    nope: int,
    scale: float,
    config: AttentionConfig,
) -> tuple[Tensor, Tensor]:
    """A run of queries attends to a run of positions, causally, by keys and values made for each head.

    queries      bf16 [num_queries, num_heads, nope + rope]; query i stands at position start + i
    made         bf16 [num_positions, num_heads, nope + v_dim]: position first + j's key and value of a head
    shared_keys  bf16 [num_positions, rope], rows may lie apart
    returns      fp32 [num_queries, num_heads, v_dim], and fp32 [num_queries, num_heads]: log2 of the sum of
                 the softmax, by which runs of positions are put together (`join`); -inf where a query sees
                 none
    """
    num_queries, num_heads, query_width = queries.shape
    num_positions, _, made_width = made.shape
    value_width = made_width - nope
    attended = torch.empty(num_queries, num_heads, value_width, dtype=torch.float32, device=queries.device)
    logs = torch.empty(num_queries, num_heads, dtype=torch.float32, device=queries.device)
    _prefill[(triton.cdiv(num_queries, config.block_heads), num_heads)](
        queries,
        made,
        shared_keys,
        attended,
        logs,
        num_queries,
        num_positions,
        num_heads,
        start - first,
        shared_keys.stride(0),
        scale * _LOG2_E,
        NOPE=nope,
        ROPE=query_width - nope,
        VALUE=value_width,
        QUERIES=config.block_heads,
        POSITIONS=config.block_positions,
        STAGES=config.num_stages,
        num_warps=config.num_warps,
    )
    return attended, logs


@triton.jit
def _prefill(
    queries, made, shared_keys, attended, logs, num_queries, num_positions, num_heads, offset, shared_stride,
    scale, NOPE: tl.constexpr, ROPE: tl.constexpr, VALUE: tl.constexpr,
    QUERIES: tl.constexpr, POSITIONS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    MADE: tl.constexpr = NOPE + VALUE
    head = tl.program_id(1)
    rows = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    is_query = rows < num_queries
    nopes, ropes, values = tl.arange(0, NOPE), tl.arange(0, ROPE), tl.arange(0, VALUE)
    own = queries + (rows.to(tl.int64) * num_heads + head)[:, None] * (NOPE + ROPE)
    fixed = tl.load(own + nopes[None, :], mask=is_query[:, None], other=0.0)
    turning = tl.load(own + NOPE + ropes[None, :], mask=is_query[:, None], other=0.0)
    highest = tl.full([QUERIES], float("-inf"), dtype=tl.float32)
    total = tl.zeros([QUERIES], dtype=tl.float32)
    sums = tl.zeros([QUERIES, VALUE], dtype=tl.float32)
    last_seen = (tl.program_id(0) + 1) * QUERIES + offset
    for begin in tl.range(0, tl.minimum(num_positions, last_seen), POSITIONS, num_stages=STAGES):
        positions = begin + tl.arange(0, POSITIONS)
        is_position = positions < num_positions
        at = made + (positions.to(tl.int64) * num_heads + head)[:, None] * MADE
        keys = tl.load(at + nopes[None, :], mask=is_position[:, None], other=0.0)
        shared = tl.load(
            shared_keys + positions.to(tl.int64)[:, None] * shared_stride + ropes[None, :],
            mask=is_position[:, None],
            other=0.0,
        )
        scores = _dot(fixed, tl.trans(keys), None) + _dot(turning, tl.trans(shared), None)
        is_seen = (positions[None, :] <= rows[:, None] + offset) & is_position[None, :]
        scores = tl.where(is_seen, scores * scale, float("-inf"))
        highest, total, sums, shares = _soften(scores, highest, total, sums)
        contents = tl.load(at + NOPE + values[None, :], mask=is_position[:, None], other=0.0)
        sums = _dot(shares.to(contents.dtype), contents, sums)
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
