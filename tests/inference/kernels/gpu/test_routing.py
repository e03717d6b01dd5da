"""Which experts a token goes to, and the blocks of work that makes, against the reference."""

import pytest
import torch

from inference.kernels import reference
from inference.kernels.gpu import routing
from tests.inference.kernels.gpu import drawing


@pytest.mark.parametrize(
    ("num_experts", "num_per_token", "num_tokens"), [(384, 8, 3), (64, 6, 5), (5, 2, 7), (3, 3, 1)]
)
def test_a_token_goes_where_the_reference_sends_it(
    num_experts: int, num_per_token: int, num_tokens: int, device: torch.device
) -> None:
    for normalizes in (True, False):
        experts = drawing.router(num_experts, num_per_token, normalizes=normalizes)
        logits, bias = torch.randn(num_tokens, num_experts), torch.randn(num_experts) * 0.1
        weights, chosen = routing.route(logits.to(device), bias.to(device), experts)
        expected_weights, expected = reference.route(logits, bias, experts)
        assert chosen.cpu().tolist() == expected.tolist()
        assert drawing.distance(weights, expected_weights) < 1e-6


def test_numbers_that_are_none_choose_experts_that_exist(device: torch.device) -> None:
    logits = torch.randn(3, 5)
    logits[1] = float("nan")
    _, chosen = routing.route(logits.to(device), torch.zeros(5, device=device), drawing.router(5, 2))
    assert chosen.min() >= 0
    assert chosen.max() < 5


@pytest.mark.parametrize("rows_per_block", [1, 2, 16])
@pytest.mark.parametrize(("num_experts", "num_tokens"), [(5, 1), (5, 40), (40, 3)])
def test_every_pair_is_in_one_block_of_its_expert(
    rows_per_block: int, num_experts: int, num_tokens: int, device: torch.device
) -> None:
    # One expert is left out, one is chosen by everybody.
    others = torch.stack([torch.randperm(num_experts - 2)[:2] + 1 for _ in range(num_tokens)])
    chosen = torch.cat([others, torch.zeros(num_tokens, 1)], dim=1).int()
    work = routing.gather_work(chosen.to(device), num_experts, rows_per_block=rows_per_block)
    found: dict[int, list[int]] = {}
    blocks = work.order.view(-1, rows_per_block).tolist()
    for expert, pairs in zip(work.block_expert.tolist(), blocks, strict=True):
        if expert >= 0:
            found.setdefault(expert, []).extend(pair for pair in pairs if pair >= 0)
    wanted: dict[int, list[int]] = {}
    for pair, expert in enumerate(chosen.flatten().tolist()):
        wanted.setdefault(expert, []).append(pair)
    assert found == wanted
    num_used = sum(-(-len(pairs) // rows_per_block) for pairs in wanted.values())
    assert (work.block_expert >= 0).sum() == num_used
    assert work.block_expert[:num_used].min() >= 0


def test_the_most_blocks_are_enough_for_any_choice() -> None:
    """One pair for each of all experts but one, and all the others for that."""
    for rows in (1, 2, 16):
        for num_pairs in (1, 7, 64, 100):
            for num_experts in (1, 5, 64):
                alone = min(num_experts, num_pairs) - 1
                needed = alone + -(-(num_pairs - alone) // rows)
                assert routing.max_blocks(num_pairs, num_experts, rows) >= needed
