"""Routed experts whose INT4 weights are multiplied as the checkpoint packs them.

A word of 32 bits holds eight weights that follow each other along the input, lowest nibble first, each 8 more
than its value; every group of 32 weights has a bf16 scale (`checkpoints.pack_quantized`). Nibble p of every
word forms plane p. Activations come in plane order: [rows, 8 planes, words], so that one plane's weights meet
neighbouring activations and no nibble changes its lane.

Two ways to multiply, chosen by how many rows share an expert (`tuning`):

rows   lanes run along the input, each with words of whole groups; fp32 sums, one scale a group. For a few
       rows a block, where reading the weights once is all that counts.
tiles  weights are the left operand of the tensor cores, dequantised to bf16 in registers; tokens the right
       one. From 16 rows a block.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.kernels.gpu.interpreting import INTERPRETED
from inference.kernels.gpu.routing import WorkList
from inference.kernels.gpu.tuning import ExpertConfig

PLANES = 8
WORDS_PER_GROUP = 4


@dataclass(frozen=True)
class Int4Experts:
    """One matrix of every expert of a layer.

    words   int32 [num_experts, num_rows, num_columns // 8]
    scales  bf16 [num_experts, num_rows, num_columns // 32]
    """

    words: Tensor
    scales: Tensor

    @property
    def num_experts(self) -> int:
        return self.words.shape[0]

    @property
    def num_rows(self) -> int:
        return self.words.shape[1]

    @property
    def num_columns(self) -> int:
        return self.words.shape[2] * PLANES


def to_planes(x: Tensor) -> Tensor:
    """x [num_rows, num_columns] in plane order: column 8 w + p goes to p * num_columns / 8 + w."""
    return x.view(x.shape[0], -1, PLANES).transpose(1, 2).reshape(x.shape)


def from_planes(x: Tensor) -> Tensor:
    """The inverse of `to_planes`."""
    return x.view(x.shape[0], PLANES, -1).transpose(1, 2).reshape(x.shape)


def gate_up(
    x: Tensor, weights: Int4Experts, work: WorkList, num_per_token: int, config: ExpertConfig
) -> Tensor:
    """silu(gate x) * up x of every pair.

    x        bf16 [num_tokens, hidden_size], in plane order
    weights  [num_experts, 2 * expert_size, hidden_size]: an expert's gate, then its up
    returns  bf16 [num_tokens * num_per_token, expert_size], in plane order; rows whose pair is in no block
             are left as they were
    """
    size = weights.num_rows // 2
    activated = torch.empty(x.shape[0] * num_per_token, size, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(size, config.block_columns), work.block_expert.shape[0])
    kernel = _gate_up_rows if config.way == "rows" else _gate_up_tiles
    kernel[grid](
        x,
        weights.words,
        weights.scales,
        work.order,
        work.block_expert,
        activated,
        num_per_token,
        size,
        weights.num_columns // PLANES,
        **_cut(work, config),
    )
    return activated


def down(
    activated: Tensor, route_weights: Tensor, weights: Int4Experts, work: WorkList, config: ExpertConfig
) -> Tensor:
    """Every pair's share of its token's output.

    activated      bf16 [num_pairs, expert_size], in plane order
    route_weights  fp32 [num_tokens, num_per_token]
    weights        [num_experts, hidden_size, expert_size]
    returns        fp32 [num_pairs, hidden_size], each row times its route weight
    """
    size = weights.num_rows
    shares = torch.empty(activated.shape[0], size, dtype=torch.float32, device=activated.device)
    grid = (triton.cdiv(size, config.block_columns), work.block_expert.shape[0])
    kernel = _down_rows if config.way == "rows" else _down_tiles
    kernel[grid](
        activated,
        weights.words,
        weights.scales,
        work.order,
        work.block_expert,
        route_weights,
        shares,
        size,
        weights.num_columns // PLANES,
        **_cut(work, config),
    )
    return shares


def _cut(work: WorkList, config: ExpertConfig) -> dict[str, int]:
    return {
        "ROWS": work.rows_per_block,
        "BLOCK_COLUMNS": config.block_columns,
        "BLOCK_WORDS": config.block_words,
        "STAGES": config.num_stages,
        "num_warps": config.num_warps,
    }


def combine(shares: Tensor, num_per_token: int, added: Tensor | None, chosen: Tensor) -> Tensor:
    """The sum of each token's shares in the order of its choices, and of `added`.

    shares  fp32 [num_tokens * num_per_token, hidden_size]
    added   fp32 [num_tokens, hidden_size], as what is returned
    chosen  int32 [num_tokens, num_per_token]; a share whose expert is -1 was never written and counts nothing
    """
    num_tokens, size = shares.shape[0] // num_per_token, shares.shape[1]
    total = torch.empty(num_tokens, size, dtype=torch.float32, device=shares.device)
    block = 1024
    _combine[(num_tokens, triton.cdiv(size, block))](
        shares,
        shares if added is None else added,
        chosen,
        total,
        size,
        num_per_token,
        HAS_ADDED=added is not None,
        BLOCK=block,
    )
    return total


@triton.jit
def _gate_up_rows(
    x, words, scales, order, block_expert, activated, num_per_token, size, num_words,
    ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_WORDS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(1)
    expert = tl.load(block_expert + block).to(tl.int64)
    if expert >= 0:
        pairs = tl.load(order + block * ROWS + tl.arange(0, ROWS))
        columns = tl.program_id(0) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
        tokens = pairs // num_per_token
        first = expert * 2 * size
        gate = _rows_product(
            x, words, scales, tokens, pairs >= 0, first + columns, columns < size, num_words,
            ROWS, BLOCK_COLUMNS, BLOCK_WORDS, STAGES,
        )  # fmt: skip
        up = _rows_product(
            x, words, scales, tokens, pairs >= 0, first + size + columns, columns < size, num_words,
            ROWS, BLOCK_COLUMNS, BLOCK_WORDS, STAGES,
        )  # fmt: skip
        _store_activated(activated, gate, up, pairs[:, None], columns[None, :], size)


@triton.jit
def _down_rows(
    activated, words, scales, order, block_expert, route_weights, shares, size, num_words,
    ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_WORDS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(1)
    expert = tl.load(block_expert + block).to(tl.int64)
    if expert >= 0:
        pairs = tl.load(order + block * ROWS + tl.arange(0, ROWS))
        columns = tl.program_id(0) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
        product = _rows_product(
            activated, words, scales, pairs, pairs >= 0, expert * size + columns, columns < size, num_words,
            ROWS, BLOCK_COLUMNS, BLOCK_WORDS, STAGES,
        )  # fmt: skip
        _store_shares(shares, product, route_weights, pairs[:, None], columns[None, :], size)


@triton.jit
def _rows_product(
    x, words, scales, rows, is_row, columns, is_column, num_words,
    ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_WORDS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Rows of x times rows of the whole stack of weights, fp32 [ROWS, BLOCK_COLUMNS]."""
    GROUPS: tl.constexpr = BLOCK_WORDS // 4
    total = tl.zeros([ROWS, BLOCK_COLUMNS, GROUPS], dtype=tl.float32)
    num_groups = num_words // 4
    row_starts = (rows.to(tl.int64) * num_words * 8)[:, None, None]
    for start in tl.range(0, num_groups, GROUPS, num_stages=STAGES):
        groups = start + tl.arange(0, GROUPS)
        at = groups[:, None] * 4 + tl.arange(0, 4)[None, :]
        is_group = groups < num_groups
        tile = tl.load(
            words + columns[:, None, None] * num_words + at[None, :, :],
            mask=is_column[:, None, None] & is_group[None, :, None],
            other=0,
        )
        scale = tl.load(
            scales + columns[:, None] * num_groups + groups[None, :],
            mask=is_column[:, None] & is_group[None, :],
            other=0.0,
        ).to(tl.float32)
        partial = tl.zeros([ROWS, BLOCK_COLUMNS, GROUPS, 4], dtype=tl.float32)
        for plane in tl.static_range(8):
            values = tl.load(
                x + row_starts + plane * num_words + at[None, :, :],
                mask=is_row[:, None, None] & is_group[None, :, None],
                other=0.0,
            ).to(tl.float32)
            weight = (((tile >> (4 * plane)) & 15) - 8).to(tl.float32)
            partial += weight[None, :, :, :] * values[:, None, :, :]
        total += tl.sum(partial, axis=3) * scale[None, :, :]
    return tl.sum(total, axis=2)


@triton.jit
def _gate_up_tiles(
    x, words, scales, order, block_expert, activated, num_per_token, size, num_words,
    ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_WORDS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(1)
    expert = tl.load(block_expert + block).to(tl.int64)
    if expert >= 0:
        pairs = tl.load(order + block * ROWS + tl.arange(0, ROWS))
        columns = tl.program_id(0) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
        is_column = columns < size
        gate_rows = expert * 2 * size + columns
        row_starts = (pairs // num_per_token).to(tl.int64) * num_words * 8
        gate = tl.zeros([BLOCK_COLUMNS, ROWS], dtype=tl.float32)
        up = tl.zeros([BLOCK_COLUMNS, ROWS], dtype=tl.float32)
        for start in tl.range(0, num_words, BLOCK_WORDS, num_stages=STAGES):
            at = start + tl.arange(0, BLOCK_WORDS)
            is_word = at < num_words
            gate_tile, gate_scale = _tile(words, scales, gate_rows, is_column, at, is_word, num_words)
            up_tile, up_scale = _tile(words, scales, gate_rows + size, is_column, at, is_word, num_words)
            for plane in tl.static_range(8):
                values = _plane(x, row_starts, pairs >= 0, plane, at, is_word, num_words)
                gate = _multiply(gate_tile, gate_scale, values, plane, gate)
                up = _multiply(up_tile, up_scale, values, plane, up)
        _store_activated(activated, gate, up, pairs[None, :], columns[:, None], size)


@triton.jit
def _down_tiles(
    activated, words, scales, order, block_expert, route_weights, shares, size, num_words,
    ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_WORDS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(1)
    expert = tl.load(block_expert + block).to(tl.int64)
    if expert >= 0:
        pairs = tl.load(order + block * ROWS + tl.arange(0, ROWS))
        columns = tl.program_id(0) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
        is_column = columns < size
        row_starts = pairs.to(tl.int64) * num_words * 8
        product = tl.zeros([BLOCK_COLUMNS, ROWS], dtype=tl.float32)
        for start in tl.range(0, num_words, BLOCK_WORDS, num_stages=STAGES):
            at = start + tl.arange(0, BLOCK_WORDS)
            is_word = at < num_words
            tile, scale = _tile(words, scales, expert * size + columns, is_column, at, is_word, num_words)
            for plane in tl.static_range(8):
                values = _plane(activated, row_starts, pairs >= 0, plane, at, is_word, num_words)
                product = _multiply(tile, scale, values, plane, product)
        _store_shares(shares, product, route_weights, pairs[None, :], columns[:, None], size)


@triton.jit
def _tile(words, scales, rows, is_row, at, is_word, num_words):
    """Words and the scale of each, [BLOCK_COLUMNS, BLOCK_WORDS]."""
    mask = is_row[:, None] & is_word[None, :]
    tile = tl.load(words + rows[:, None] * num_words + at[None, :], mask=mask, other=0)
    scale = tl.load(scales + rows[:, None] * (num_words // 4) + (at // 4)[None, :], mask=mask, other=0.0)
    return tile, scale.to(tl.float32)


@triton.jit
def _plane(x, row_starts, is_row, plane, at, is_word, num_words):
    """One plane of the activations, [BLOCK_WORDS, ROWS]."""
    return tl.load(
        x + row_starts[None, :] + plane * num_words + at[:, None],
        mask=is_row[None, :] & is_word[:, None],
        other=0.0,
    )


@triton.jit
def _multiply(tile, scale, values, plane: tl.constexpr, total):
    """total + a plane's weights times its activations."""
    weight = (((tile >> (4 * plane)) & 15) - 8).to(tl.float32) * scale
    if INTERPRETED:
        return tl.dot(weight, values.to(tl.float32), total, input_precision="ieee")
    return tl.dot(weight.to(values.dtype), values, total)


@triton.jit
def _store_activated(activated, gate, up, pairs, columns, size):
    """silu(gate) * up in plane order."""
    places = pairs.to(tl.int64) * size + (columns % 8) * (size // 8) + columns // 8
    value = gate * tl.sigmoid(gate) * up
    tl.store(activated + places, value.to(activated.dtype.element_ty), mask=(pairs >= 0) & (columns < size))


@triton.jit
def _store_shares(shares, product, route_weights, pairs, columns, size):
    weight = tl.load(route_weights + pairs, mask=pairs >= 0, other=0.0)
    tl.store(
        shares + pairs.to(tl.int64) * size + columns, product * weight, mask=(pairs >= 0) & (columns < size)
    )


@triton.jit
def _combine(shares, added, chosen, total, size, num_per_token, HAS_ADDED: tl.constexpr, BLOCK: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < size
    value = tl.zeros([BLOCK], dtype=tl.float32)
    for choice in range(0, num_per_token):
        pair = token * num_per_token + choice
        is_written = tl.zeros([BLOCK], dtype=tl.int32) + tl.load(chosen + pair) >= 0
        value += tl.load(shares + pair * size + columns, mask=inside & is_written, other=0.0)
    if HAS_ADDED:
        value += tl.load(added + token * size + columns, mask=inside, other=0.0)
    tl.store(total + token * size + columns, value, mask=inside)
