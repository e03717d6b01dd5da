"""Stored matrices packed into the tiles that the native kernels read (src/matrix.h tells the layout).

A GGUF file's integers and scales stay exactly as they are. Other affine matrices keep their integers; their
scales are rounded to fp16 times one power of two per matrix. Floats become bf16 where they were bf16 or FP8,
else fp32.
"""

import ctypes
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor

from inference.kernels.gguf_blocks import AffineBlocks
from inference.model import pages
from inference.model.gguf_source import GGUFMatrix
from inference.model.parameters import StoredMatrix
from inference.native import library

TILE_ROWS = 16
_GROUP = 32
_SUPER_BLOCK = 256
# A run of rows that one thread packs at a time.
_WEIGHTS_AT_ONCE = 1 << 20
_LARGEST_HALF = 32768.0

_Part = TypeVar("_Part", bound=StoredMatrix)


class Kind(IntEnum):
    """`native::Kind`: what a packed weight is."""

    Q4K = 0
    Q6K = 1
    INT4 = 2
    INT4S = 3
    INT8 = 4
    BF16 = 5
    FP32 = 6


# What makes stored integers unsigned as the kernels want them.
_SHIFTS = {Kind.INT4: 0, Kind.INT4S: 0, Kind.INT8: 128}
_GGUF_KINDS = {
    "Q4_K": Kind.Q4K,
    "Q6_K": Kind.Q6K,
    "Q4_1": Kind.INT4,
    "Q4_0": Kind.INT4S,
    "Q8_0": Kind.INT8,
}
_AFFINE_KINDS = {
    "Q4_K": Kind.INT4,
    "Q4_1": Kind.INT4,
    "Q4_0": Kind.INT4S,
    "INT4_G32": Kind.INT4S,
    "Q8_0": Kind.INT8,
}
# FP8's four bits of precision lose nothing worth its scales' exactness.
_BF16_FORMATS = ("BF16", "F8_E4M3")


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
    if isinstance(matrix, GGUFMatrix) and matrix.format in _GGUF_KINDS:
        return _GGUF_KINDS[matrix.format]
    if matrix.num_columns % _GROUP == 0 and matrix.format in _AFFINE_KINDS:
        return _AFFINE_KINDS[matrix.format]
    return Kind.BF16 if matrix.format in _BF16_FORMATS else Kind.FP32


def packed_bytes(stored: StoredMatrix) -> int:
    """What the matrix takes once it is packed, the padding of its own rows included."""
    kind = kind_of(stored)
    return int(library.load().native_packed_bytes(kind, stored.num_rows, stored.num_columns))


def pack_all(parts: Sequence[StoredMatrix]) -> list[PackedMatrix]:
    """The matrices one under the other, in as few packed ones as their kinds allow: neighbours of one kind
    together.
    """
    runs = groupby(parts, key=lambda part: (kind_of(part), isinstance(part, GGUFMatrix)))
    return [pack(list(run)) for _, run in runs]


def pack(parts: Sequence[StoredMatrix]) -> PackedMatrix:
    """The rows of several matrices of one width and kind, one under the other; all from a GGUF file or
    none.
    """
    kind, num_columns = kind_of(parts[0]), parts[0].num_columns
    assert all(kind_of(part) == kind and part.num_columns == num_columns for part in parts)
    packed = _empty(kind, sum(part.num_rows for part in parts), num_columns)
    if kind not in _GGUF_KINDS.values():
        _pack_floats(parts, packed)
    elif isinstance(parts[0], GGUFMatrix):
        _pack_stored([part for part in parts if isinstance(part, GGUFMatrix)], packed)
    else:
        _pack_affine(parts, packed)
    return packed


def rounded(x: Tensor) -> Tensor:
    """What the integer kernels see of activations: rounded to 8 bits in groups of 32 columns, as numbers
    again. The torch twin of `quantize_row` in src/rows.h.

    x [num_tokens, num_columns] fp32, num_columns a multiple of 32 -> the same shape
    """
    groups = x.view(x.shape[0], -1, _GROUP)
    largest = groups.abs().amax(dim=-1, keepdim=True)
    integers = (groups * (127 / largest.clamp(min=1e-30))).round()
    return (integers * (largest / 127)).view(x.shape)


def pack_blocks(blocks: AffineBlocks, kind: Kind) -> PackedMatrix:
    """Rows already unpacked, as INT4, INT4S or INT8; their groups have 32 columns."""
    assert blocks.group_size == _GROUP
    packed = _empty(kind, *blocks.values.shape)
    _pack_integers(blocks, packed, 0)
    _pack_scales(packed, [blocks.scales], [blocks.offsets])
    return packed


def linear(matrix: PackedMatrix, x: Tensor, team: library.Team) -> Tensor:
    """x @ matrix.T, fp32.

    x        [num_tokens, num_columns] fp32, rounded to 8 bits in groups of 32 for the integer kinds
    returns  [num_tokens, num_rows]; a row does not depend on the other rows of the call
    """
    assert x.dtype == torch.float32
    assert x.shape[1] == matrix.num_columns
    x = x.contiguous()
    y = torch.empty(x.shape[0], matrix.num_rows)
    team.library.native_linear(
        ctypes.byref(matrix.struct), x.data_ptr(), x.shape[0], y.data_ptr(), False, team.handle
    )
    return y


def _empty(kind: Kind, num_rows: int, num_columns: int) -> PackedMatrix:
    data = pages.zeroed(library.load().native_packed_bytes(kind, num_rows, num_columns))
    struct = library.Matrix(kind, 1.0, num_rows, num_columns, data.data_ptr())
    return PackedMatrix(kind, num_rows, num_columns, data, struct)


def _place(packed: PackedMatrix, row: int, num_rows: int) -> library.Place:
    return library.Place(packed.kind, row, num_rows, packed.num_columns, packed.data.data_ptr())


def _pack_stored(parts: Sequence[GGUFMatrix], packed: PackedMatrix) -> None:
    native = library.load()

    def pack_run(row: int, part: GGUFMatrix, run: slice) -> None:
        place = _place(packed, row, run.stop - run.start)
        if part.order is None:
            native.native_pack_stored(ctypes.byref(place), part.raw[run].data_ptr(), None)
        else:
            order = part.order[run].contiguous()
            native.native_pack_stored(ctypes.byref(place), part.raw.data_ptr(), order.data_ptr())

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for done in [pool.submit(pack_run, *run) for run in _runs(parts)]:
            done.result()


def _pack_affine(parts: Sequence[StoredMatrix], packed: PackedMatrix) -> None:
    scales, offsets = [], []
    for row, part, run in _runs(parts):
        blocks = part.blocks(run)
        _pack_integers(blocks, packed, row)
        scales.append(blocks.scales)
        offsets.append(blocks.offsets)
    _pack_scales(packed, scales, offsets)


def _pack_integers(blocks: AffineBlocks, packed: PackedMatrix, row: int) -> None:
    values = blocks.values.contiguous()
    place = _place(packed, row, values.shape[0])
    library.load().native_pack_integers(ctypes.byref(place), values.data_ptr(), _SHIFTS[packed.kind])


def _pack_scales(packed: PackedMatrix, scales: Sequence[Tensor], offsets: Sequence[Tensor]) -> None:
    """Written once the largest of them is known, which gives the factor they count."""
    all_scales = torch.cat(list(scales)).contiguous()
    all_offsets = torch.cat(list(offsets)).contiguous()
    largest = float(all_scales.abs().max())
    if packed.kind == Kind.INT4:
        largest = max(largest, float(all_offsets.abs().max()))
    if 0 < largest < math.inf:
        packed.struct.factor = 2.0 ** math.ceil(math.log2(largest / _LARGEST_HALF))
    place = _place(packed, 0, packed.num_rows)
    library.load().native_pack_scales(
        ctypes.byref(place), all_scales.data_ptr(), all_offsets.data_ptr(), 1 / packed.struct.factor
    )


def _pack_floats(parts: Sequence[StoredMatrix], packed: PackedMatrix) -> None:
    for row, part, run in _runs(parts):
        values = part.rows(run).contiguous()
        place = _place(packed, row, values.shape[0])
        library.load().native_pack_floats(ctypes.byref(place), values.data_ptr())


def _runs(parts: Sequence[_Part]) -> Iterator[tuple[int, _Part, slice]]:
    """Runs of rows that are quick to convert: the first one's number in the whole, the matrix, its rows."""
    num_before = 0
    for part in parts:
        step = max(1, _WEIGHTS_AT_ONCE // part.num_columns // TILE_ROWS) * TILE_ROWS
        for start in range(0, part.num_rows, step):
            yield num_before + start, part, slice(start, min(start + step, part.num_rows))
        num_before += part.num_rows
