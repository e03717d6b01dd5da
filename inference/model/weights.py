"""Weights from a GGUF file in the form the layers compute with. Knows tensor names and formats, no
architecture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inference.gguf_file import BadModelFile, GGUFFile
from inference.kernels import cpu_linear, gguf_blocks, reference
from inference.kernels.cpu_linear import Int4Weight, Int8Weight
from inference.kernels.gguf_blocks import AFFINE_TYPES, FLOAT_TYPES, AffineBlocks
from inference.model.layers import Head, Linear

Precision = Literal["int4", "bf16", "fp32"]
_INT4_TYPES = ("Q4_0", "Q4_1", "Q4_K")
# A run of rows small enough for its temporaries to stay in cache: half the time of whole matrices.
_WEIGHTS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix as the file holds it; rows are unpacked when asked for. `order` renames rows: row i is stored
    at order[i].
    """

    raw: Tensor
    type_name: str
    num_columns: int
    order: Tensor | None = None

    @property
    def num_rows(self) -> int:
        return self.raw.shape[0]

    def rows(self, indices: Tensor | slice) -> Tensor:
        """The chosen rows, fp32 [num_chosen, num_columns]."""
        if self.type_name in FLOAT_TYPES:
            return gguf_blocks.unpack_float(self._stored(indices), type_name=self.type_name)
        return reference.dequantize(self.blocks(indices))

    def blocks(self, indices: Tensor | slice) -> AffineBlocks:
        return gguf_blocks.unpack(self._stored(indices), type_name=self.type_name)

    def runs(self) -> Iterator[slice]:
        """Slices that cover all rows."""
        return _runs(self.num_rows, self.num_columns)

    def _stored(self, indices: Tensor | slice) -> Tensor:
        return self.raw[indices if self.order is None else self.order[indices]]


@dataclass(frozen=True)
class Weights:
    """What a model reads its parameters through.

    `precision` int4 computes few rows from 4 and 8 bits and, where `keeps_dense`, many rows from a bf16 copy;
    bf16 and fp32 compute everything from dequantised weights.
    """

    file: GGUFFile
    precision: Precision
    keeps_dense: bool = True

    @property
    def dtype(self) -> torch.dtype:
        """What activations and the KV cache are kept in."""
        return torch.float32 if self.precision == "fp32" else torch.bfloat16

    def has(self, name: str) -> bool:
        return name in self.file.tensors

    def vector(self, name: str) -> Tensor:
        """A one-dimensional tensor, fp32."""
        return self.matrix(name).rows(slice(None))[0].clone()

    def matrix(self, name: str, *, order: Tensor | None = None) -> StoredMatrix:
        """Raises BadModelFile when the file lacks it or stores it in a format unknown here."""
        raw = torch.from_numpy(self.file.raw(name))
        info = self.file.tensors[name]
        if info.type_name not in AFFINE_TYPES and info.type_name not in FLOAT_TYPES:
            known = ", ".join(sorted([*AFFINE_TYPES, *FLOAT_TYPES]))
            raise BadModelFile(f"tensor {name} is stored as {info.type_name}; this engine reads {known}")
        return StoredMatrix(raw, info.type_name, info.shape[-1], order)

    def linear(self, matrices: Sequence[StoredMatrix]) -> Linear:
        """One map whose output is the outputs of `matrices` side by side."""
        if self.precision != "int4":
            return Linear([_dense(matrices, self.dtype)])
        parts: list[Int4Weight | Int8Weight | Tensor] = [_packed(group) for group in _alike(matrices)]
        return Linear(parts, _dense(matrices, torch.bfloat16) if self.keeps_dense else None)

    def head(self, matrix: StoredMatrix) -> Head:
        """The output projection. It sees few rows at a time, so that it never keeps a dense copy beside its 8
        bits.
        """
        if self.precision == "int4":
            return Head(Linear([_int8([matrix])]), matrix.rows)
        if self.precision == "bf16":
            return Head(Linear([_dense([matrix], torch.bfloat16)]), matrix.rows)
        return Head(Linear([_dense([matrix], torch.float32)]), None)


def _alike(matrices: Sequence[StoredMatrix]) -> Iterator[list[StoredMatrix]]:
    """Runs of neighbours that can be packed into one weight."""
    run: list[StoredMatrix] = []
    for matrix in matrices:
        if run and _is_int4(matrix) != _is_int4(run[0]):
            yield run
            run = []
        run.append(matrix)
    yield run


def _is_int4(matrix: StoredMatrix) -> bool:
    return matrix.type_name in _INT4_TYPES and cpu_linear.can_pack_int4(matrix.num_rows, matrix.num_columns)


def _packed(matrices: Sequence[StoredMatrix]) -> Int4Weight | Int8Weight:
    return _int4(matrices) if _is_int4(matrices[0]) else _int8(matrices)


def _int4(matrices: Sequence[StoredMatrix]) -> Int4Weight:
    pieces = [matrix.blocks(run) for matrix in matrices for run in matrix.runs()]
    values = torch.cat([piece.values for piece in pieces])
    scales = torch.cat([piece.scales for piece in pieces])
    offsets = torch.cat([piece.offsets for piece in pieces])
    packed = [
        cpu_linear.pack_int4(AffineBlocks(values[run], scales[run], offsets[run], cpu_linear.INT4_GROUP_SIZE))
        for run in _runs(*values.shape)
    ]
    return Int4Weight(
        torch.cat([piece.packed for piece in packed]),
        torch.cat([piece.scales_and_zeros for piece in packed], dim=1),
    )


def _int8(matrices: Sequence[StoredMatrix]) -> Int8Weight:
    pieces = [cpu_linear.quantize_int8(matrix.rows(run)) for matrix in matrices for run in matrix.runs()]
    return Int8Weight(
        torch.cat([piece.values for piece in pieces]), torch.cat([piece.scales for piece in pieces])
    )


def _dense(matrices: Sequence[StoredMatrix], dtype: torch.dtype) -> Tensor:
    dense = torch.empty(sum(matrix.num_rows for matrix in matrices), matrices[0].num_columns, dtype=dtype)
    at = 0
    for matrix in matrices:
        for run in matrix.runs():
            dense[at : at + run.stop - run.start] = matrix.rows(run)
            at += run.stop - run.start
    return dense


def _runs(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Slices that cover all rows, each quick to convert and, but for the last, of whole packing runs."""
    step = max(1, _WEIGHTS_AT_ONCE // num_columns // cpu_linear.INT4_PACK_ROWS) * cpu_linear.INT4_PACK_ROWS
    return (slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step))
