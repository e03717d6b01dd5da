"""Grouped-query attention of single tokens over the paged pool, and writing keys and values into it."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.kernels.gpu.attention import LOG2_E, dot, merge, soften
from inference.kernels.gpu.tuning import AttentionConfig

_LEAST_ROWS = 16  # of a tensor core's operand


def store(keys: Tensor, values: Tensor, slots: Tensor, pool: Tensor) -> None:
    """Write each token's keys and values into a layer of the pool.

    keys, values  bf16 [num_tokens, num_kv_heads, head_dim]
    slots         int64 [num_tokens]: block * page + place in it; a negative one writes nothing
    pool          bf16 [num_blocks, 2, num_kv_heads, page, head_dim]: keys, then values
    """
    num_tokens, num_kv_heads, head_dim = keys.shape
    assert pool.is_contiguous()
    _store[(num_tokens, num_kv_heads)](
        keys.contiguous(),
        values.contiguous(),
        slots,
        pool,
        num_kv_heads,
        PAGE=pool.shape[3],
        DIM=head_dim,
        num_warps=1,
    )


@triton.jit
def _store(keys, values, slots, pool, num_kv_heads, PAGE: tl.constexpr, DIM: tl.constexpr):
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    slot = tl.load(slots + token)
    if slot >= 0:
        dims = tl.arange(0, DIM)
        source = (token * num_kv_heads + head) * DIM + dims
        block = (slot // PAGE) * 2 * num_kv_heads
        place = (slot % PAGE) * DIM + dims
        tl.store(pool + (block + head) * PAGE * DIM + place, tl.load(keys + source))
        tl.store(pool + (block + num_kv_heads + head) * PAGE * DIM + place, tl.load(values + source))


def decode(
    queries: Tensor,
    pool: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    scale: float,
    config: AttentionConfig,
) -> Tensor:
    """Every sequence's newest token attends to all of its positions.

    queries       bf16 [num_sequences, num_heads, head_dim], rotated; a kv head serves num_heads //
                  num_kv_heads of them in a row
    pool          bf16 [num_blocks, 2, num_kv_heads, page, head_dim], one layer
    block_tables  int32 [num_sequences, most_blocks]
    lengths       int32 [num_sequences], the newest token included; a sequence of none gives zeros
    returns       bf16 [num_sequences, num_heads, head_dim]
    """
    num_sequences, num_heads, head_dim = queries.shape
    num_kv_heads, page = pool.shape[2], pool.shape[3]
    group, splits = num_heads // num_kv_heads, config.num_splits
    gathered = torch.empty(
        num_sequences, splits, num_heads, head_dim, dtype=torch.float32, device=queries.device
    )
    logs = torch.empty(num_sequences, splits, num_heads, dtype=torch.float32, device=queries.device)
    _decode[(num_sequences, num_kv_heads, splits)](
        queries,
        pool,
        block_tables,
        lengths,
        gathered,
        logs,
        num_heads,
        block_tables.stride(0),
        scale * LOG2_E,
        DIM=head_dim,
        GROUP=group,
        ROWS=max(_LEAST_ROWS, triton.next_power_of_2(group)),
        PAGE=page,
        SPLITS=splits,
        POSITIONS=config.block_positions,
        STAGES=config.num_stages,
        num_warps=config.num_warps,
    )
    result = torch.empty_like(queries)
    merge[(num_sequences, num_heads)](
        gathered, logs, result, num_heads, RANK=head_dim, SPLITS=splits, num_warps=1
    )
    return result


@triton.jit
def _decode(
    queries, pool, block_tables, lengths, gathered, logs, num_heads, table_stride, scale,
    DIM: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, PAGE: tl.constexpr, SPLITS: tl.constexpr,
    POSITIONS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    sequence = tl.program_id(0).to(tl.int64)
    kv_head, split = tl.program_id(1), tl.program_id(2)
    num_kv_heads = num_heads // GROUP
    rows, dims = tl.arange(0, ROWS), tl.arange(0, DIM)
    is_row = rows < GROUP
    heads = kv_head * GROUP + rows
    length = tl.load(lengths + sequence)
    share = tl.cdiv(tl.cdiv(length, SPLITS), PAGE) * PAGE
    first = split * share
    end = tl.minimum(first + share, length)
    own = tl.load(
        queries + (sequence * num_heads + heads[:, None]) * DIM + dims[None, :],
        mask=is_row[:, None],
        other=0.0,
    )
    highest = tl.full([ROWS], float("-inf"), dtype=tl.float32)
    total = tl.zeros([ROWS], dtype=tl.float32)
    sums = tl.zeros([ROWS, DIM], dtype=tl.float32)
    for start in tl.range(first, end, POSITIONS, num_stages=STAGES):
        positions = start + tl.arange(0, POSITIONS)
        is_seen = positions < end
        pages = tl.load(block_tables + sequence * table_stride + positions // PAGE, mask=is_seen, other=0)
        at = ((pages.to(tl.int64) * 2 * num_kv_heads + kv_head) * PAGE + positions % PAGE) * DIM
        keys = tl.load(pool + at[:, None] + dims[None, :], mask=is_seen[:, None], other=0.0)
        scores = dot(own, tl.trans(keys), None)
        scores = tl.where(is_seen[None, :], scores * scale, float("-inf"))
        highest, total, sums, shares = soften(scores, highest, total, sums)
        at += num_kv_heads * PAGE * DIM
        values = tl.load(pool + at[:, None] + dims[None, :], mask=is_seen[:, None], other=0.0)
        sums = dot(shares.to(values.dtype), values, sums)
    out = (sequence * SPLITS + split) * num_heads + heads
    is_empty = total == 0.0
    divided = sums / tl.where(is_empty, 1.0, total)[:, None]
    tl.store(gathered + out[:, None] * DIM + dims[None, :], divided, mask=is_row[:, None])
    logarithms = highest + tl.log2(tl.where(is_empty, 1.0, total))
    tl.store(logs + out, tl.where(is_empty, float("-inf"), logarithms), mask=is_row)
