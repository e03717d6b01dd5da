"""The matrices of a checkpoint folder as stored: floats, INT4 in groups of 32, FP8 in blocks of 128 x 128."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.checkpoints import fp8_blocks, pack_quantized, weights
from inference.checkpoints.folder import CheckpointFolder
from inference.kernels import reference
from inference.kernels.gguf_blocks import AffineBlocks
from inference.model.parameters import StoredMatrix

FLOATS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


@dataclass(frozen=True)
class FloatMatrix:
    """`order` renames rows, here and below: row i is stored at order[i]."""

    stored: Tensor
    order: Tensor | None

    is_affine = False

    @property
    def format(self) -> str:
        return FLOATS[self.stored.dtype]

    @property
    def num_rows(self) -> int:
        return self.stored.shape[0]

    @property
    def num_columns(self) -> int:
        return self.stored.shape[1]

    def rows(self, indices: Tensor | slice) -> Tensor:
        return self.stored[_renamed(indices, self.order)].float()

    def blocks(self, indices: Tensor | slice) -> AffineBlocks:
        raise TypeError("a matrix of floats has no blocks")


@dataclass(frozen=True)
class Int4Matrix:
    """packed int32 [num_rows, num_columns // 8], scales [num_rows, num_columns // 32], as
    `checkpoints.pack_quantized` says.
    """

    packed: Tensor
    scales: Tensor
    order: Tensor | None

    format = "INT4_G32"
    is_affine = True

    @property
    def num_rows(self) -> int:
        return self.packed.shape[0]

    @property
    def num_columns(self) -> int:
        return self.packed.shape[1] * pack_quantized.VALUES_PER_WORD

    def rows(self, indices: Tensor | slice) -> Tensor:
        return reference.dequantize(self.blocks(indices))

    def blocks(self, indices: Tensor | slice) -> AffineBlocks:
        chosen = _renamed(indices, self.order)
        scales = self.scales[chosen].float()
        return AffineBlocks(
            pack_quantized.unpack(self.packed[chosen]),
            scales,
            -float(pack_quantized.ZERO) * scales,
            pack_quantized.GROUP_SIZE,
        )


@dataclass(frozen=True)
class Fp8Matrix:
    """stored fp8 e4m3 [num_rows, num_columns]; scales fp32, one for each block of 128 x 128 (the last ones
    may be smaller), which its weights are multiplied by.
    """

    stored: Tensor
    scales: Tensor
    order: Tensor | None

    format = "F8_E4M3"
    is_affine = False

    @property
    def num_rows(self) -> int:
        return self.stored.shape[0]

    @property
    def num_columns(self) -> int:
        return self.stored.shape[1]

    def rows(self, indices: Tensor | slice) -> Tensor:
        chosen = torch.arange(self.num_rows)[_renamed(indices, self.order)]
        return fp8_blocks.dequantize(self.stored, self.scales, chosen)

    def blocks(self, indices: Tensor | slice) -> AffineBlocks:
        raise TypeError("an FP8 matrix has no blocks of integers")


def _renamed(indices: Tensor | slice, order: Tensor | None) -> Tensor | slice:
    return indices if order is None else order[indices]


def open_matrix(
    folder: CheckpointFolder, name: str, shape: tuple[int, int], order: Tensor | None
) -> StoredMatrix:
    """The matrix called `name` (no `.weight` behind it), however it is stored. Raises BadModelFile."""
    stored_as = weights.check(folder, name, shape)
    if stored_as == "packed":
        packed, scales = folder.tensor(name + weights.PACKED), folder.tensor(name + weights.PACKED_SCALE)
        return Int4Matrix(packed, scales, order)
    stored = folder.tensor(name + weights.PLAIN)
    if stored_as == "fp8":
        return Fp8Matrix(stored, folder.tensor(name + weights.FP8_SCALE), order)
    return FloatMatrix(stored, order)
