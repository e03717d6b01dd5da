"""Which experts a token goes to, and the work that makes of it: blocks of rows that share an expert."""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference.config import Experts

_PAIRS_AT_ONCE = 256


@dataclass(frozen=True)
class WorkList:
    """Pairs (token, chosen expert) gathered into blocks of one expert each.

    Pair t * num_per_token + j is token t's j-th choice. All sizes depend on the numbers of tokens and experts
    alone, so that a captured graph serves whatever is chosen.

    order         int32 [max_blocks * rows_per_block]: pairs in rising order within an expert, -1 where a
                  block has no more
    block_expert  int32 [max_blocks]: -1 for blocks without work, which come last
    """

    order: Tensor
    block_expert: Tensor
    rows_per_block: int


def max_blocks(num_pairs: int, num_experts: int, rows_per_block: int) -> int:
    """The most blocks that any choice needs."""
    num_busy = min(num_experts, num_pairs)
    return min(num_pairs, (num_pairs + num_busy * (rows_per_block - 1)) // rows_per_block)


def route(
    logits: Tensor, choice_bias: Tensor, experts: Experts, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `reference.route` for a router without groups, with int32 ids. Equal scores: the lower id.

    A token whose logits are NaN gets some experts and weights of NaN. A row whose `lengths` (int32
    [num_tokens]) is 0 only fills the batch up: its experts are -1, which makes no work.
    """
    assert experts.num_groups == 1, "routers with groups are computed by the twin"
    num_tokens, num_experts = logits.shape
    weights = torch.empty(num_tokens, experts.num_per_token, dtype=torch.float32, device=logits.device)
    chosen = torch.empty_like(weights, dtype=torch.int32)
    _route[(num_tokens,)](
        logits,
        choice_bias,
        chosen if lengths is None else lengths,
        weights,
        chosen,
        num_experts,
        experts.scaling_factor,
        NUM_PER_TOKEN=experts.num_per_token,
        NORMALIZES=experts.normalizes_weights,
        HAS_LENGTHS=lengths is not None,
        WIDTH=triton.next_power_of_2(num_experts),
        CHOICES=triton.next_power_of_2(experts.num_per_token),
        num_warps=1 if num_experts <= 64 else 4,
    )
    return weights, chosen


@triton.jit
def _route(
    logits,
    bias,
    lengths,
    weights,
    chosen,
    num_experts,
    scaling,
    NUM_PER_TOKEN: tl.constexpr,
    NORMALIZES: tl.constexpr,
    HAS_LENGTHS: tl.constexpr,
    WIDTH: tl.constexpr,
    CHOICES: tl.constexpr,
):
    token = tl.program_id(0)
    ids = tl.arange(0, WIDTH)
    is_expert = ids < num_experts
    scores = tl.sigmoid(tl.load(logits + token * num_experts + ids, mask=is_expert, other=0.0))
    open_choice = tl.where(is_expert, scores + tl.load(bias + ids, mask=is_expert, other=0.0), float("-inf"))
    places = tl.arange(0, CHOICES)
    picked = tl.zeros([CHOICES], dtype=tl.int32)
    gathered = tl.zeros([CHOICES], dtype=tl.float32)
    for place in tl.static_range(NUM_PER_TOKEN):
        best = tl.minimum(tl.argmax(open_choice, axis=0), num_experts - 1)
        score = tl.sum(tl.where(ids == best, scores, 0.0), axis=0)
        picked = tl.where(places == place, best, picked)
        gathered = tl.where(places == place, score, gathered)
        open_choice = tl.where(ids == best, float("-inf"), open_choice)
    if NORMALIZES:
        gathered = gathered / (tl.sum(gathered, axis=0) + 1e-20)
    if HAS_LENGTHS:
        picked = tl.where(tl.load(lengths + token) > 0, picked, -1)
    is_place = places < NUM_PER_TOKEN
    tl.store(weights + token * NUM_PER_TOKEN + places, gathered * scaling, mask=is_place)
    tl.store(chosen + token * NUM_PER_TOKEN + places, picked, mask=is_place)


def gather_work(chosen: Tensor, num_experts: int, *, rows_per_block: int) -> WorkList:
    """chosen int32 [num_tokens, num_per_token] to blocks. Blocks of one row need no sorting."""
    num_pairs = chosen.numel()
    if rows_per_block == 1:
        return WorkList(
            torch.arange(num_pairs, dtype=torch.int32, device=chosen.device), chosen.view(num_pairs), 1
        )
    num_blocks = max_blocks(num_pairs, num_experts, rows_per_block)
    order = torch.empty(num_blocks * rows_per_block, dtype=torch.int32, device=chosen.device)
    block_expert = torch.empty(num_blocks, dtype=torch.int32, device=chosen.device)
    counts = torch.empty(num_experts, dtype=torch.int32, device=chosen.device)
    _count[(num_experts,)](chosen, counts, num_pairs, PAIRS=_PAIRS_AT_ONCE)
    _gather[(num_experts + 1,)](
        chosen,
        counts,
        order,
        block_expert,
        num_pairs,
        num_experts,
        num_blocks,
        ROWS=rows_per_block,
        PAIRS=_PAIRS_AT_ONCE,
        WIDTH=triton.next_power_of_2(num_experts + 1),
    )
    return WorkList(order, block_expert, rows_per_block)


@triton.jit
def _count(chosen, counts, num_pairs, PAIRS: tl.constexpr):
    """One program for each expert: how many pairs chose it."""
    expert = tl.program_id(0)
    found = tl.zeros([PAIRS], dtype=tl.int32)
    for start in range(0, num_pairs, PAIRS):
        pairs = start + tl.arange(0, PAIRS)
        ids = tl.load(chosen + pairs, mask=pairs < num_pairs, other=-1)
        found += (ids == expert).to(tl.int32)
    tl.store(counts + expert, tl.sum(found, axis=0))


@triton.jit
def _gather(
    chosen,
    counts,
    order,
    block_expert,
    num_pairs,
    num_experts,
    num_blocks,
    ROWS: tl.constexpr,
    PAIRS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One program for each expert writes its blocks; one more marks those that are left over."""
    expert = tl.program_id(0)
    ids = tl.arange(0, WIDTH)
    all_counts = tl.load(counts + ids, mask=ids < num_experts, other=0)
    all_blocks = (all_counts + ROWS - 1) // ROWS
    first = tl.sum(tl.where(ids < expert, all_blocks, 0), axis=0)
    if expert == num_experts:
        for start in range(0, num_blocks - first, PAIRS):
            blocks = first + start + tl.arange(0, PAIRS)
            tl.store(block_expert + blocks, -1, mask=blocks < num_blocks)
    else:
        count = tl.sum(tl.where(ids == expert, all_counts, 0), axis=0)
        own_blocks = (count + ROWS - 1) // ROWS
        for block in range(0, own_blocks):
            tl.store(block_expert + first + block, expert)
        placed = 0
        if count > 0:
            for start in range(0, num_pairs, PAIRS):
                pairs = start + tl.arange(0, PAIRS)
                is_own = tl.load(chosen + pairs, mask=pairs < num_pairs, other=-1) == expert
                rank = placed + tl.cumsum(is_own.to(tl.int32), axis=0) - 1
                tl.store(order + first * ROWS + rank, pairs, mask=is_own)
                placed += tl.sum(is_own.to(tl.int32), axis=0)
        spare = count + tl.arange(0, ROWS)
        tl.store(order + first * ROWS + spare, -1, mask=spare < own_blocks * ROWS)
