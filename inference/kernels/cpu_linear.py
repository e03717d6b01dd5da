"""Matrix products with weights kept in 4 or 8 bits, by torch's own CPU operators."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.kernels import reference
from inference.kernels.gguf_blocks import AffineBlocks

INT4_GROUP_SIZE = 32
# The operator packs rows in runs of this many: a matrix may be packed run by run, into one weight.
INT4_ROW_MULTIPLE = 64
_INT4_ZERO = 8


@dataclass(frozen=True)
class Int4Weight:
    """Rows for `int4_linear`.

    packed              uint8 [out, in // 2], in the operator's own order
    scales_and_zeros    bf16 [in // 32, out, 2]; weight = (q - 8) * scale + zero
    """

    packed: Tensor
    scales_and_zeros: Tensor


@dataclass(frozen=True)
class Int8Weight:
    """Rows for `int8_linear`: values int8 [out, in], scales bf16 [out]."""

    values: Tensor
    scales: Tensor


def can_pack_int4(num_rows: int, num_columns: int) -> bool:
    """Whether `int4_linear` takes a matrix of this shape."""
    return num_rows % INT4_ROW_MULTIPLE == 0 and num_columns % INT4_GROUP_SIZE == 0


def empty_int4(num_rows: int, num_columns: int) -> Int4Weight:
    """A weight to be filled by `pack_int4_rows`."""
    assert can_pack_int4(num_rows, num_columns), f"{num_rows} x {num_columns} cannot be packed"
    return Int4Weight(
        torch.empty(num_rows, num_columns // 2, dtype=torch.uint8),
        torch.empty(num_columns // INT4_GROUP_SIZE, num_rows, 2, dtype=torch.bfloat16),
    )


def pack_int4_rows(blocks: AffineBlocks, weight: Int4Weight, rows: slice) -> None:
    """Fill some rows, whole runs of INT4_ROW_MULTIPLE. Exact but for scales and zeros, which are rounded to
    bf16.
    """
    assert blocks.group_size == INT4_GROUP_SIZE
    assert rows.start % INT4_ROW_MULTIPLE == rows.stop % INT4_ROW_MULTIPLE == 0
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(blocks.values.int(), 1)
    weight.packed[rows] = packed
    zeros = torch.add(blocks.offsets, blocks.scales, alpha=_INT4_ZERO)
    weight.scales_and_zeros[:, rows] = torch.stack([blocks.scales, zeros], dim=-1).transpose(0, 1)


def int4_linear(x: Tensor, weight: Int4Weight) -> Tensor:
    """x @ weight.T: x bf16 [num_tokens, in] -> bf16 [num_tokens, out]. A row's result does not depend on its
    batch.
    """
    assert x.dtype == torch.bfloat16
    assert x.shape[1] == weight.packed.shape[1] * 2
    result: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
        x, weight.packed, INT4_GROUP_SIZE, weight.scales_and_zeros
    )
    return result


def empty_int8(num_rows: int, num_columns: int) -> Int8Weight:
    """A weight to be filled by `quantize_int8_rows`."""
    return Int8Weight(
        torch.empty(num_rows, num_columns, dtype=torch.int8), torch.empty(num_rows, dtype=torch.bfloat16)
    )


def quantize_int8_rows(exact: Tensor, weight: Int8Weight, rows: slice) -> None:
    """Fill some rows with fp32 [num_rows, in] rounded to 8 bits, one scale a row."""
    low, high = exact.aminmax(dim=1)
    scales = (torch.maximum(-low, high).clamp(min=1e-12) / 127).to(torch.bfloat16)
    weight.scales[rows] = scales
    # A scale rounded down by bf16 may push the largest weight past 127.
    weight.values[rows] = (exact / scales.float().unsqueeze(-1)).round_().clamp_(-127, 127)


def int8_linear(x: Tensor, weight: Int8Weight) -> Tensor:
    """x @ weight.T: x bf16 [num_tokens, in] -> bf16 [num_tokens, out]."""
    assert x.dtype == torch.bfloat16
    assert x.shape[1] == weight.values.shape[1]
    result: Tensor = torch.ops.aten._weight_int8pack_mm(x, weight.values, weight.scales)
    return result


def int4_operator_works() -> bool:
    """Prove the operator on this machine against its twin; False where torch lacks it or it computes
    something else.
    """
    generator = torch.Generator().manual_seed(0)
    weight = empty_int4(INT4_ROW_MULTIPLE, 4 * INT4_GROUP_SIZE)
    values = torch.randint(
        0, 16, (INT4_ROW_MULTIPLE, 4 * INT4_GROUP_SIZE), dtype=torch.uint8, generator=generator
    )
    scales = torch.rand(INT4_ROW_MULTIPLE, 4, generator=generator) + 0.5
    blocks = AffineBlocks(values, scales, -7.0 * scales, INT4_GROUP_SIZE)
    x = torch.randn(3, 4 * INT4_GROUP_SIZE, generator=generator).to(torch.bfloat16)
    try:
        pack_int4_rows(blocks, weight, slice(0, INT4_ROW_MULTIPLE))
        computed = int4_linear(x, weight).float()
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    expected = reference.int4_linear(x, blocks)
    return bool((computed - expected).norm() <= 0.02 * expected.norm())
