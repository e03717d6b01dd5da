"""Random inputs for the kernels, and how far two results are apart."""

import torch
from torch import Tensor

from inference.checkpoints import pack_quantized
from inference.config import Experts
from inference.kernels.gpu.experts import Int4Experts


def int4_experts(num_experts: int, num_rows: int, num_columns: int, device: torch.device) -> Int4Experts:
    words = torch.randint(-(2**31), 2**31, (num_experts, num_rows, num_columns // 8))
    scales = torch.rand(num_experts, num_rows, num_columns // 32) / num_columns**0.5
    return Int4Experts(words.to(torch.int32).to(device), scales.bfloat16().to(device))


def dense(weights: Int4Experts) -> Tensor:
    """fp64 [num_experts, num_rows, num_columns], unpacked by the checkpoint reader."""
    values = pack_quantized.unpack(weights.words.cpu().flatten(0, 1)).double() - pack_quantized.ZERO
    scales = weights.scales.cpu().flatten(0, 1).double().repeat_interleave(32, dim=1)
    return (values * scales).view(weights.num_experts, weights.num_rows, weights.num_columns)


def router(num_experts: int, num_per_token: int, *, normalizes: bool = True) -> Experts:
    return Experts(
        num_experts=num_experts,
        num_per_token=num_per_token,
        expert_size=32,
        shared_size=0,
        first_layer=0,
        layer_step=1,
        normalizes_weights=normalizes,
        scaling_factor=2.827,
    )


def distance(result: Tensor, expected: Tensor) -> float:
    """||result - expected|| / ||expected||; NaN anywhere is infinitely far."""
    result = result.cpu().double()
    if not result.isfinite().all():
        return float("inf")
    return float((result - expected.cpu().double()).norm() / expected.cpu().double().norm())
