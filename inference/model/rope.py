"""Rotary positions, for pairs of neighbouring dimensions."""

import torch
from torch import Tensor

from inference.config import ModelConfig
from inference.kernels import reference


def interleaving_rows(num_heads: int, head_dim: int) -> Tensor:
    """The row order that turns a projection whose heads pair dimension i with i + head_dim/2 into one that
    pairs neighbours: attention scores stay the same, and one complex product then rotates a head.
    """
    halves = torch.arange(head_dim).view(2, head_dim // 2)
    within_head = halves.T.reshape(-1)
    return (torch.arange(num_heads).unsqueeze(-1) * head_dim + within_head).view(-1)


def interleaving_tail_rows(num_heads: int, head_dim: int, rope_dim: int) -> Tensor:
    """The same where only the last `rope_dim` dimensions of each head rotate."""
    before = torch.arange(head_dim - rope_dim)
    within_head = torch.cat([before, before.numel() + interleaving_rows(1, rope_dim)])
    return (torch.arange(num_heads).unsqueeze(-1) * head_dim + within_head).view(-1)


def frequencies(config: ModelConfig, factors: Tensor | None) -> Tensor:
    """Radians per position of each pair, fp64 [rope_dim // 2], all stretching included.

    `factors` is the file's own `Parameters.rope_frequency_factors`. The angle at position p is p times this;
    sines and cosines are then multiplied by `magnitude`.
    """
    exponents = torch.arange(0, config.rope_dim, 2, dtype=torch.float64) / config.rope_dim
    plain = config.rope_theta**-exponents
    if config.yarn is not None:
        plain = reference.yarn_frequencies(plain, config.yarn, theta=config.rope_theta)
    if config.llama3 is not None:
        plain = reference.llama3_frequencies(plain, config.llama3)
    if factors is not None:
        plain = plain / factors.double()
    return plain / config.rope_scale


def magnitude(config: ModelConfig) -> float:
    """What sines and cosines are multiplied by: 1 save under a YaRN that asks for more."""
    return config.yarn.rotation_magnitude if config.yarn is not None else 1.0


class Rotary:
    """The rotations of any position, in fp64 until the last rounding: at position 200,000 fp32 angles are off
    by a hundredth of a radian.
    """

    def __init__(self, config: ModelConfig, *, frequency_factors: Tensor | None) -> None:
        self._frequencies = frequencies(config, frequency_factors)
        self._magnitude = torch.tensor(magnitude(config), dtype=torch.float64)

    def at(self, positions: Tensor) -> Tensor:
        """Rotations for `rotate`: complex64 [num_tokens, 1, rope_dim // 2]."""
        angles = torch.outer(positions.double(), self._frequencies)
        return torch.polar(self._magnitude.expand_as(angles), angles).to(torch.complex64).unsqueeze(1)


def rotate(x: Tensor, rotations: Tensor) -> Tensor:
    """x fp32 [num_tokens, num_heads, rope_dim], contiguous -> the same, rotated."""
    pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotations).view(x.shape)
