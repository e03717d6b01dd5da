"""Stored matrices into the form that torch's operators compute with. Knows formats, no architecture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inference.kernels import cpu_linear, reference
from inference.kernels.cpu_linear import INT4_ROW_MULTIPLE, Int4Weight, Int8Weight
from inference.model.layers import Head, Linear, RMSNorm
from inference.model.parameters import StoredMatrix

Precision = Literal["int4", "bf16", "fp32"]
_INT4_FORMATS = ("Q4_0", "Q4_1", "Q4_K", "INT4_G32")
# A run of rows small enough for its temporaries to stay in cache: half the time of whole matrices.
_WEIGHTS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Packer:
    """`precision` int4 computes few rows from 4 and 8 bits where the file has them and, where `keeps_dense`,
    many rows from a bf16 copy; bf16 and fp32 compute everything from dequantised weights.
    """

    precision: Precision
    keeps_dense: bool = True

    @property
    def dtype(self) -> torch.dtype:
        """What activations are kept in."""
        return torch.float32 if self.precision == "fp32" else torch.bfloat16

    def norm(self, weight: Tensor, eps: float) -> RMSNorm:
        return RMSNorm(weight, eps, self.dtype)

    def dense(self, *matrices: StoredMatrix, dtype: torch.dtype | None = None) -> Tensor:
        """The matrices one under the other, in the compute dtype if no other is named."""
        num_rows = sum(matrix.num_rows for matrix in matrices)
        dense = torch.empty(num_rows, matrices[0].num_columns, dtype=dtype or self.dtype)
        for rows, matrix, run in _placed(matrices):
            dense[rows] = matrix.rows(run)
        return dense

    def linear(self, *matrices: StoredMatrix) -> Linear:
        """One map whose output is the outputs of `matrices` side by side."""
        is_packed = self.precision == "int4" and any(matrix.is_affine for matrix in matrices)
        if not is_packed:
            return Linear([self.dense(*matrices)])
        num_rows = sum(matrix.num_rows for matrix in matrices)
        dense = torch.empty(num_rows, matrices[0].num_columns, dtype=self.dtype) if self.keeps_dense else None
        parts: list[Int4Weight | Int8Weight | Tensor] = []
        at = 0
        for kind, run in _alike(matrices):
            rows = slice(at, at + sum(matrix.num_rows for matrix in run))
            parts.append(self._part(kind, run, None if dense is None else dense[rows]))
            at = rows.stop
        return Linear(parts, dense)

    def head(self, matrix: StoredMatrix) -> Head:
        """The output projection. It sees few rows at a time, so that it never keeps a dense copy beside its 8
        bits.
        """
        if self.precision == "int4":
            return Head(Linear([_int8([matrix], None)]), matrix.rows)
        if self.precision == "bf16":
            return Head(Linear([self.dense(matrix)]), matrix.rows)
        return Head(Linear([self.dense(matrix)]), None)

    def _part(
        self, kind: str, matrices: Sequence[StoredMatrix], dense: Tensor | None
    ) -> Int4Weight | Int8Weight | Tensor:
        """`dense` is filled with the same weights on the way, to unpack them only once."""
        if kind == "int4":
            return _int4(matrices, dense)
        if kind == "int8":
            return _int8(matrices, dense)
        part = self.dense(*matrices)
        if dense is not None:
            dense.copy_(part)
        return part


def _alike(matrices: Sequence[StoredMatrix]) -> Iterator[tuple[str, list[StoredMatrix]]]:
    """Runs of neighbours that can be packed into one weight, each with its kind."""
    run: list[StoredMatrix] = []
    for matrix in matrices:
        if run and _kind(matrix) != _kind(run[0]):
            yield _kind(run[0]), run
            run = []
        run.append(matrix)
    yield _kind(run[0]), run


def _kind(matrix: StoredMatrix) -> str:
    """What an affine matrix is packed to; a matrix of floats stays one."""
    if not matrix.is_affine:
        return "float"
    fits = cpu_linear.can_pack_int4(matrix.num_rows, matrix.num_columns)
    return "int4" if fits and matrix.format in _INT4_FORMATS else "int8"


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
