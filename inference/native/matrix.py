"""Stored matrices packed into the tiles that the native kernels read (src/matrix.h tells the layout).

Integers stay exactly as the file has them; scales and offsets are rounded to fp16 times one power of two per
matrix. Floats become bf16 where they were, else fp32.
"""

import ctypes
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby

import torch
from torch import Tensor

from inference.kernels.gguf_blocks import AffineBlocks
from inference.model.parameters import StoredMatrix
from inference.native import library

TILE_ROWS = 16
_ALIGNMENT = 64
# A run of rows small enough for its temporaries to stay in cache.
_WEIGHTS_AT_ONCE = 1 << 20
_LARGEST_HALF = 32768.0


class Kind(IntEnum):
    """`native::Kind`: what a packed weight is."""

    INT4 = 0
    INT4S = 1
    INT6 = 2
    INT8 = 3
    BF16 = 4
    FP32 = 5


# What makes a kind's stored integers unsigned, and the columns that share a scale.
_SHIFTS = {Kind.INT4: 0, Kind.INT4S: 0, Kind.INT6: 32, Kind.INT8: 128}
_AFFINE_KINDS = {
    "Q4_0": Kind.INT4S,
    "INT4_G32": Kind.INT4S,
    "Q4_1": Kind.INT4,
    "Q4_K": Kind.INT4,
    "Q6_K": Kind.INT6,
    "Q8_0": Kind.INT8,
}
_GROUP = 32


@dataclass(frozen=True)
class PackedMatrix:
    """Rows for the native kernels. `struct` points into `data`: keep this object while it is in use."""

    kind: Kind
    num_rows: int
    num_columns: int
    data: Tensor
    struct: library.Matrix

    @property
    def num_bytes(self) -> int:
        """What one product reads."""
        return self.data.numel()


def kind_of(matrix: StoredMatrix) -> Kind:
    """What the matrix is packed as: its own integers where the width allows it, else floats."""
    if matrix.num_columns % _GROUP == 0 and matrix.format in _AFFINE_KINDS:
        return _AFFINE_KINDS[matrix.format]
    return Kind.BF16 if matrix.format == "BF16" else Kind.FP32


def pack_all(parts: Sequence[StoredMatrix]) -> list[PackedMatrix]:
    """The matrices one under the other, in as few packed ones as their kinds allow: neighbours of one kind
    together.
    """
    return [pack(list(run)) for _, run in groupby(parts, key=kind_of)]


def pack(parts: Sequence[StoredMatrix]) -> PackedMatrix:
    """The rows of several matrices of one width and kind, one under the other."""
    kind, num_columns = kind_of(parts[0]), parts[0].num_columns
    assert all(kind_of(part) == kind and part.num_columns == num_columns for part in parts)
    num_rows = sum(part.num_rows for part in parts)
    data = _aligned(library.load().native_packed_bytes(kind, num_rows, num_columns))
    factor = 1.0
    if kind in _SHIFTS:
        factor = _pack_affine(parts, kind, data)
    else:
        _pack_floats(parts, kind, data)
    struct = library.Matrix(kind, factor, num_rows, num_columns, data.data_ptr())
    return PackedMatrix(kind, num_rows, num_columns, data, struct)


def pack_blocks(blocks: AffineBlocks, kind: Kind) -> PackedMatrix:
    """Rows already unpacked, as an integer kind; their scales group 16 columns for INT6, else 32."""
    num_rows, num_columns = blocks.values.shape
    data = _aligned(library.load().native_packed_bytes(kind, num_rows, num_columns))
    _pack_integers(blocks, kind, data, 0)
    factor = _pack_scales(kind, data, num_columns, [blocks.scales], [blocks.offsets])
    struct = library.Matrix(kind, factor, num_rows, num_columns, data.data_ptr())
    return PackedMatrix(kind, num_rows, num_columns, data, struct)


def linear(matrix: PackedMatrix, x: Tensor, team: library.Team) -> Tensor:
    """x @ matrix.T, fp32.

    x        [num_tokens, num_columns] fp32, rounded to 8 bits in groups of 32 for the integer kinds
    returns  [num_tokens, num_rows]; a row does not depend on the other rows of the call
    """
    assert x.dtype == torch.float32
    assert x.shape[1] == matrix.num_columns
    x = x.contiguous()
    y = torch.empty(x.shape[0], matrix.num_rows)
    library.load().native_linear(
        ctypes.byref(matrix.struct), x.data_ptr(), x.shape[0], y.data_ptr(), False, team.handle
    )
    return y


def time_linear(
    matrices: Sequence[PackedMatrix], *, num_tokens: int, num_calls: int, team: library.Team
) -> list[float]:
    """Seconds of each of `num_calls` products with `num_tokens` rows, matrix after matrix in turn: enough of
    them to outgrow the caches measure memory, one measures arithmetic.
    """
    first = matrices[0]
    assert all(matrix.num_columns == first.num_columns for matrix in matrices)
    x = torch.randn(num_tokens, first.num_columns, generator=torch.Generator().manual_seed(0))
    y = torch.empty(num_tokens, max(matrix.num_rows for matrix in matrices))
    seconds = (ctypes.c_double * num_calls)()
    structs = (library.Matrix * len(matrices))(*(matrix.struct for matrix in matrices))
    library.load().native_time_linear(
        structs, len(matrices), x.data_ptr(), num_tokens, y.data_ptr(), team.handle, num_calls, seconds
    )
    return list(seconds)


def _aligned(num_bytes: int) -> Tensor:
    """Zeros whose address is a multiple of a cache line."""
    memory = torch.zeros(num_bytes + _ALIGNMENT, dtype=torch.uint8)
    start = -memory.data_ptr() % _ALIGNMENT
    return memory[start : start + num_bytes]


def _pack_affine(parts: Sequence[StoredMatrix], kind: Kind, data: Tensor) -> float:
    scales, offsets = [], []
    for row, part, run in _runs(parts):
        blocks = part.blocks(run)
        _pack_integers(blocks, kind, data, row)
        scales.append(blocks.scales)
        offsets.append(blocks.offsets)
    return _pack_scales(kind, data, parts[0].num_columns, scales, offsets)


def _pack_integers(blocks: AffineBlocks, kind: Kind, data: Tensor, row: int) -> None:
    values = blocks.values.contiguous()
    place = library.Place(kind, row, values.shape[0], values.shape[1], data.data_ptr())
    library.load().native_pack_integers(ctypes.byref(place), values.data_ptr(), _SHIFTS[kind])


def _pack_scales(
    kind: Kind, data: Tensor, num_columns: int, scales: Sequence[Tensor], offsets: Sequence[Tensor]
) -> float:
    """Written once the largest of them is known; returns the factor they count."""
    all_scales = torch.cat(list(scales)).contiguous()
    all_offsets = torch.cat(list(offsets)).contiguous()
    largest = float(all_scales.abs().max())
    if kind == Kind.INT4:
        largest = max(largest, float(all_offsets.abs().max()))
    factor = 2.0 ** math.ceil(math.log2(largest / _LARGEST_HALF)) if 0 < largest < math.inf else 1.0
    place = library.Place(kind, 0, all_scales.shape[0], num_columns, data.data_ptr())
    library.load().native_pack_scales(
        ctypes.byref(place), all_scales.data_ptr(), all_offsets.data_ptr(), 1 / factor
    )
    return factor


def _pack_floats(parts: Sequence[StoredMatrix], kind: Kind, data: Tensor) -> None:
    for row, part, run in _runs(parts):
        values = part.rows(run).contiguous()
        place = library.Place(kind, row, values.shape[0], values.shape[1], data.data_ptr())
        library.load().native_pack_floats(ctypes.byref(place), values.data_ptr())


def _runs(parts: Sequence[StoredMatrix]) -> Iterator[tuple[int, StoredMatrix, slice]]:
    """Runs of rows that are quick to convert: the first one's number in the whole, the matrix, its rows."""
    num_before = 0
    for part in parts:
        step = max(1, _WEIGHTS_AT_ONCE // part.num_columns // TILE_ROWS) * TILE_ROWS
        for start in range(0, part.num_rows, step):
            yield num_before + start, part, slice(start, min(start + step, part.num_rows))
        num_before += part.num_rows
