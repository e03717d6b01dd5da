"""Rotary positions, for pairs of neighbouring dimensions."""

import torch
from torch import Tensor

from inference.config import ModelConfig


def interleaving_rows(num_heads: int, head_dim: int) -> Tensor:
    """The row order that turns a projection whose heads pair dimension i with i + head_dim/2 into one that
    pairs neighbours: attention scores stay the same, and one complex product then rotates a head.
    """
    halves = torch.arange(head_dim).view(2, head_dim // 2)
    within_head = halves.T.reshape(-1)
    return (torch.arange(num_heads).unsqueeze(-1) * head_dim + within_head).view(-1)


class RotaryTable:
    """The rotations of every position: complex64 [max_context_tokens, head_dim // 2]."""

    def __init__(
        self, config: ModelConfig, *, max_context_tokens: int, frequency_factors: Tensor | None
    ) -> None:
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
        frequencies = config.rope_theta**-exponents
        if frequency_factors is not None:
            frequencies = frequencies / frequency_factors.double()
        positions = torch.arange(max_context_tokens, dtype=torch.float64) / config.rope_scale
        angles = torch.outer(positions, frequencies)
        self._rotations = torch.polar(torch.ones_like(angles), angles).to(torch.complex64)

    def at(self, positions: Tensor) -> Tensor:
        """Rotations for `rotate`: complex64 [num_tokens, 1, head_dim // 2]."""
        return self._rotations[positions].unsqueeze(1)


def rotate(x: Tensor, rotations: Tensor) -> Tensor:
    """x fp32 [num_tokens, num_heads, head_dim], contiguous -> the same, rotated."""
    pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotations).view(x.shape)
