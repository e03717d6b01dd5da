"""GGUF's block formats unpacked to one affine form: weight = scale * value + offset, one scale and offset a
group.

Layouts are those of the `gguf` library's quants module, against which the tests hold these.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AffineBlocks:
    """A matrix [rows, columns] in groups of `group_size` columns.

    values  [rows, columns]               uint8 (0..15) or int8
    scales  [rows, columns // group_size] fp32
    offsets [rows, columns // group_size] fp32
    """

    values: Tensor
    scales: Tensor
    offsets: Tensor
    group_size: int


def unpack(raw: Tensor, *, type_name: str) -> AffineBlocks:
    """Unpack rows stored as uint8 [rows, row_bytes]; `type_name` must be in AFFINE_TYPES."""
    return AFFINE_TYPES[type_name](raw)


def unpack_float(raw: Tensor, *, type_name: str) -> Tensor:
    """Rows of an unquantised tensor, uint8 [rows, row_bytes] to fp32 [rows, columns]."""
    return raw.contiguous().view(FLOAT_TYPES[type_name]).float()


def _half(raw: Tensor) -> Tensor:
    """fp16 numbers stored in the last dimension's bytes, as fp32."""
    return raw.contiguous().view(torch.float16).float()


def _nibbles(packed: Tensor) -> Tensor:
    """The low nibbles of the last dimension, then its high nibbles."""
    return torch.cat([packed & 15, packed >> 4], dim=-1)


def _q4_0(raw: Tensor) -> AffineBlocks:
    """A block is fp16 scale, 16 bytes of nibbles; weight = scale * (q - 8)."""
    blocks = raw.view(raw.shape[0], -1, 18)
    scales = _half(blocks[..., :2])[..., 0]
    return AffineBlocks(_nibbles(blocks[..., 2:]).view(raw.shape[0], -1), scales, -8.0 * scales, 32)


def _q4_1(raw: Tensor) -> AffineBlocks:
    """A block is fp16 scale, fp16 minimum, 16 bytes of nibbles; weight = scale * q + minimum."""
    blocks = raw.view(raw.shape[0], -1, 20)
    head = _half(blocks[..., :4])
    values = _nibbles(blocks[..., 4:]).view(raw.shape[0], -1)
    return AffineBlocks(values, head[..., 0].contiguous(), head[..., 1].contiguous(), 32)


def _q8_0(raw: Tensor) -> AffineBlocks:
    """A block is fp16 scale, 32 signed bytes."""
    blocks = raw.view(raw.shape[0], -1, 34)
    scales = _half(blocks[..., :2])[..., 0]
    values = blocks[..., 2:].contiguous().view(torch.int8).view(raw.shape[0], -1)
    return AffineBlocks(values, scales, torch.zeros_like(scales), 32)


def _q4_k(raw: Tensor) -> AffineBlocks:
    """256 weights: fp16 d and dmin, eight 6-bit scales and minimums in 12 bytes, then four runs of 32 bytes
    whose low nibbles are one group of 32 and whose high nibbles are the next; weight = d * scale * q - dmin *
    minimum.
    """
    num_rows = raw.shape[0]
    blocks = raw.view(num_rows, -1, 144)
    head = _half(blocks[..., :4])
    low, high, mixed = blocks[..., 4:8], blocks[..., 8:12], blocks[..., 12:16]
    scales = torch.cat([low & 63, (mixed & 15) | ((low >> 6) << 4)], dim=-1)
    minimums = torch.cat([high & 63, (mixed >> 4) | ((high >> 6) << 4)], dim=-1)
    values = _nibbles(blocks[..., 16:].reshape(num_rows, -1, 4, 32))
    return AffineBlocks(
        values.view(num_rows, -1),
        (head[..., 0:1] * scales).view(num_rows, -1),
        (-head[..., 1:2] * minimums).view(num_rows, -1),
        32,
    )


def _q6_k(raw: Tensor) -> AffineBlocks:
    """256 weights: 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales, fp16 d; each half
    of the block takes 64 low bytes and 32 upper bytes; weight = d * scale * (q - 32), a scale for every 16
    weights.
    """
    num_rows = raw.shape[0]
    blocks = raw.view(num_rows, -1, 210)
    low = _nibbles(blocks[..., :128].reshape(num_rows, -1, 2, 64)).view(num_rows, -1, 2, 4, 32)
    pairs = blocks[..., 128:192].reshape(num_rows, -1, 2, 1, 32)
    upper = torch.cat([pairs & 3, (pairs >> 2) & 3, (pairs >> 4) & 3, pairs >> 6], dim=-2)
    values = (low | (upper << 4)).view(torch.int8) - 32
    scales = blocks[..., 192:208].contiguous().view(torch.int8) * _half(blocks[..., 208:])
    scales = scales.view(num_rows, -1)
    return AffineBlocks(values.view(num_rows, -1), scales, torch.zeros_like(scales), 16)


AFFINE_TYPES: dict[str, Callable[[Tensor], AffineBlocks]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q4_K": _q4_k,
    "Q6_K": _q6_k,
    "Q8_0": _q8_0,
}
FLOAT_TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
