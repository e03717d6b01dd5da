"""compressed-tensors' `pack-quantized` format with 4 bits and a scale for every 32 inputs.

A signed value -8..7 is stored as the nibble value + 8; eight neighbours of a row lie in one 32-bit word, the
first in the lowest bits, rows independent of one another. weight = value * scale.
"""

import torch
from torch import Tensor

GROUP_SIZE = 32
VALUES_PER_WORD = 8
ZERO = 8
STEPS = (7.0, 7.5, 8.0)


def pack(values: Tensor) -> Tensor:
    """int8 -8..7 [rows, columns] -> int32 [rows, columns // 8]."""
    assert values.shape[1] % VALUES_PER_WORD == 0
    nibbles = (values + ZERO).to(torch.uint8).view(values.shape[0], -1, 2)
    return (nibbles[..., 0] | (nibbles[..., 1] << 4)).view(torch.int32)


def unpack(packed: Tensor) -> Tensor:
    """int32 [rows, words] -> uint8 nibbles 0..15 [rows, 8 * words]; the value is the nibble - 8."""
    stored = packed.contiguous().view(torch.uint8)
    return torch.stack([stored & 15, stored >> 4], dim=-1).view(packed.shape[0], -1)


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round to the nearest, symmetric: (int8 values [rows, columns], bf16 scales [rows, columns // 32]).

    weight  fp32 [rows, columns]

    Of the scales in use (a group's largest magnitude over 7, 7.5 and 8) each group takes that with the least
    squared error, so that a model trained for one of them comes back as it was. Values are rounded by the
    scale as stored. A group of zeros has scale 1; one with NaN or infinity keeps a scale that is not finite.
    """
    grouped = weight.float().view(weight.shape[0], -1, GROUP_SIZE)
    largest = grouped.abs().amax(dim=2)
    candidates = [_rounded(grouped, largest / steps) for steps in STEPS]
    values, scales, errors = candidates[0]
    for other_values, other_scales, other_errors in candidates[1:]:
        is_better = other_errors < errors
        values = torch.where(is_better.unsqueeze(2), other_values, values)
        scales = torch.where(is_better, other_scales, scales)
        errors = torch.where(is_better, other_errors, errors)
    return values.view(weight.shape), scales


def _rounded(grouped: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values, scales as stored, and each group's squared error, for the scales wanted."""
    scales = wanted.to(torch.bfloat16)
    scales = torch.where(scales == 0, torch.ones_like(scales), scales)
    exact = scales.float().unsqueeze(2)
    values = (grouped / exact).round_().clamp_(-ZERO, ZERO - 1)
    errors = (grouped - values * exact).square().sum(dim=2)
    return values.nan_to_num_(0).to(torch.int8), scales, errors


def dequantize(packed: Tensor, scales: Tensor) -> Tensor:
    """fp32 [rows, columns] from packed int32 [rows, columns // 8] and scales [rows, columns // 32]."""
    values = unpack(packed).view(packed.shape[0], -1, GROUP_SIZE).float() - ZERO
    return (values * scales.float().unsqueeze(2)).view(packed.shape[0], -1)
