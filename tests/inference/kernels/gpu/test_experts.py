"""Routed experts of INT4 against fp64, in both ways of multiplying."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inference.kernels.gpu import experts, routing
from inference.kernels.gpu.tuning import ExpertConfig
from tests.inference.kernels.gpu import drawing

WAYS = [
    ExpertConfig("rows", 1, 16, 8, 4, 2),
    ExpertConfig("rows", 2, 32, 16, 4, 2),
    ExpertConfig("rows", 4, 16, 32, 4, 1),
    ExpertConfig("tiles", 16, 32, 16, 4, 2),
    ExpertConfig("tiles", 32, 64, 32, 4, 2),
]


@pytest.mark.parametrize("config", WAYS, ids=lambda config: f"{config.way}-{config.rows_per_block}")
@pytest.mark.parametrize(("hidden_size", "expert_size", "num_tokens"), [(96, 64, 7), (160, 32, 1)])
def test_a_layer_of_experts_agrees_with_fp64(
    config: ExpertConfig, hidden_size: int, expert_size: int, num_tokens: int, device: torch.device
) -> None:
    """Odd sizes, an expert that nobody chose, one that everybody did."""
    num_experts, num_per_token = 5, 3
    gate_up = drawing.int4_experts(num_experts, 2 * expert_size, hidden_size, device)
    down = drawing.int4_experts(num_experts, hidden_size, expert_size, device)
    x = torch.randn(num_tokens, hidden_size).bfloat16()
    others = torch.stack([torch.randperm(num_experts - 2)[:2] + 1 for _ in range(num_tokens)])
    chosen = torch.cat([others, torch.zeros(num_tokens, 1)], dim=1).int()
    weights = torch.rand(num_tokens, num_per_token)
    added = torch.randn(num_tokens, hidden_size)

    work = routing.gather_work(chosen.to(device), num_experts, rows_per_block=config.rows_per_block)
    planes = experts.to_planes(x.to(device))
    activated = experts.gate_up(planes, gate_up, work, num_per_token, config)
    shares = experts.down(activated, weights.to(device), down, work, config)
    mixed = experts.combine(shares, num_per_token, added.to(device), chosen.to(device))

    expected = _by_hand(x, drawing.dense(gate_up), drawing.dense(down), chosen, weights) + added
    assert drawing.distance(mixed, expected) < 5e-3


def _by_hand(x: Tensor, gate_up: Tensor, down: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    mixed = torch.zeros(x.shape, dtype=torch.float64)
    for token, choice in enumerate(chosen.tolist()):
        for place, expert in enumerate(choice):
            gate, up = (gate_up[expert] @ x[token].double()).chunk(2)
            mixed[token] += weights[token, place] * (down[expert] @ (functional.silu(gate) * up))
    return mixed


def test_planes_hold_every_eighth_column() -> None:
    x = torch.arange(64).view(2, 32)
    planes = experts.to_planes(x)
    assert planes[0].tolist() == [8 * word + plane for plane in range(8) for word in range(4)]
    assert experts.from_planes(planes).tolist() == x.tolist()
