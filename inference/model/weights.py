"""Weights from a GGUF file in the form the layers compute with. Knows tensor names and formats, no
architecture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inference.checkpoints.gguf_file import BadModelFile, GGUFFile
from inference.kernels import cpu_linear, gguf_blocks, reference
from inference.kernels.cpu_linear import INT4_ROW_MULTIPLE, Int4Weight, Int8Weight
from inference.kernels.gguf_blocks import AFFINE_TYPES, FLOAT_TYPES, AffineBlocks
from inference.model.layers import Head, Linear

Precision = Literal["int4", "bf16", "fp32"]
_INT4_TYPES = ("Q4_0", "Q4_1", "Q4_K")
# A run of rows small enough for its temporaries to stay in cache: half the time of whole matrices.
_WEIGHTS_AT_ONCE = 1 << 20


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
        num_rows = sum(matrix.num_rows for matrix in matrices)
        dense = (
            torch.empty(num_rows, matrices[0].num_columns, dtype=torch.bfloat16) if self.keeps_dense else None
        )
        parts: list[Int4Weight | Int8Weight | Tensor] = []
        at = 0
        for group in _alike(matrices):
            rows = slice(at, at + sum(matrix.num_rows for matrix in group))
            parts.append(_packed(group, None if dense is None else dense[rows]))
            at = rows.stop
        return Linear(parts, dense)

    def head(self, matrix: StoredMatrix) -> Head:
        """The output projection. It sees few rows at a time, so that it never keeps a dense copy beside its 8
        bits.
        """
        if self.precision == "int4":
            return Head(Linear([_int8([matrix], None)]), matrix.rows)
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


def _packed(matrices: Sequence[StoredMatrix], dense: Tensor | None) -> Int4Weight | Int8Weight:
    """`dense` is filled with the same weights on the way, to unpack them only once."""
    return _int4(matrices, dense) if _is_int4(matrices[0]) else _int8(matrices, dense)


def _int4(matrices: Sequence[StoredMatrix], dense: Tensor | None) -> Int4Weight:
    weight = cpu_linear.empty_int4(sum(matrix.num_rows for matrix in matrices), matrices[0].num_columns)
    for rows, matrix, run in _placed(matrices):
        blocks = matrix.blocks(run)
        cpu_linear.pack_int4_rows(blocks, weight, rows)
        if dense is not None:
            dense[rows] = reference.dequantize(blocks)
    return weight


def _int8(matrices: Sequence[StoredMatrix], dense: Tensor | None) -> Int8Weight:
    weight = cpu_linear.empty_int8(sum(matrix.num_rows for matrix in matrices), matrices[0].num_columns)
    for rows, matrix, run in _placed(matrices):
        exact = matrix.rows(run)
        cpu_linear.quantize_int8_rows(exact, weight, rows)
        if dense is not None:
            dense[rows] = exact
    return weight


def _dense(matrices: Sequence[StoredMatrix], dtype: torch.dtype) -> Tensor:
    dense = torch.empty(sum(matrix.num_rows for matrix in matrices), matrices[0].num_columns, dtype=dtype)
    for rows, matrix, run in _placed(matrices):
        dense[rows] = matrix.rows(run)
    return dense


def _placed(matrices: Sequence[StoredMatrix]) -> Iterator[tuple[slice, StoredMatrix, slice]]:
    """Runs of rows that are quick to convert: where each goes when the matrices lie one under the other, and
    whence it comes.
    """
    num_before = 0
    for matrix in matrices:
        step = max(1, _WEIGHTS_AT_ONCE // matrix.num_columns // INT4_ROW_MULTIPLE) * INT4_ROW_MULTIPLE
        for start in range(0, matrix.num_rows, step):
            stop = min(start + step, matrix.num_rows)
            yield slice(num_before + start, num_before + stop), matrix, slice(start, stop)
        num_before += matrix.num_rows
