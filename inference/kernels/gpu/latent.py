"""Multi-head latent attention of single tokens, absorbed, over the paged pool."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.kernels.gpu.attention import LOG2_E, dot, merge, soften
from inference.kernels.gpu.tuning import AttentionConfig


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
        scale * LOG2_E,
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
    merge[(num_sequences, num_heads)](
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
        scores = dot(latent_query, tl.trans(latents), None) + dot(rope_query, tl.trans(keys), None)
        scores = tl.where(is_seen[None, :], scores * scale, float("-inf"))
        highest, total, sums, shares = soften(scores, highest, total, sums)
        sums = dot(shares.to(latents.dtype), latents, sums)
    at = (sequence * SPLITS + split) * num_heads + heads
    is_empty = total == 0.0
    divided = sums / tl.where(is_empty, 1.0, total)[:, None]
    tl.store(gathered + at[:, None] * RANK + ranks[None, :], divided, mask=is_head[:, None])
    tl.store(
        logs + at,
        tl.where(is_empty, float("-inf"), highest + tl.log2(tl.where(is_empty, 1.0, total))),
        mask=is_head,
    )
