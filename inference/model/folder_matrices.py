"""The matrices of a checkpoint folder as stored: floats, INT4 in groups of 32, FP8 in blocks of 128 x 128."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.checkpoints import BadModelFile, fp8_blocks, pack_quantized
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


def check_quantization(folder: CheckpointFolder) -> None:
    """Raises BadModelFile where config.json names a quantisation that cannot be read here."""
    raw = folder.config.get("text_config", folder.config).get("quantization_config")
    raw = raw or folder.config.get("quantization_config")
    if not raw:
        return
    method = raw.get("quant_method")
    if method == "fp8" and raw.get("weight_block_size") == [fp8_blocks.SIZE, fp8_blocks.SIZE]:
        return
    if method == "compressed-tensors" and raw.get("format") == "pack-quantized":
        groups = [group.get("weights") or {} for group in raw.get("config_groups", {}).values()]
        keys = ("num_bits", "type", "symmetric", "group_size")
        wanted = (4, "int", True, pack_quantized.GROUP_SIZE)
        if all(tuple(weights.get(key) for key in keys) == wanted for weights in groups):
            return
    raise BadModelFile(
        f"{folder.path.name} is quantised in a way that this engine does not read ({method}, "
        f"{raw.get('format', 'no format')}): take the BF16 checkpoint, one in compressed-tensors' "
        "pack-quantized format with 4 bits in groups of 32, or FP8 in blocks of 128 x 128"
    )


def open_matrix(
    folder: CheckpointFolder, name: str, shape: tuple[int, int], order: Tensor | None
) -> StoredMatrix:
    """The matrix called `name` (no `.weight` behind it), however it is stored. Raises BadModelFile."""
    if f"{name}.weight_packed" in folder.tensors:
        return _int4(folder, name, shape, order)
    stored = folder.tensor(f"{name}.weight")
    _check_shape(folder, f"{name}.weight", stored, shape)
    if stored.dtype == torch.float8_e4m3fn:
        scales = folder.tensor(f"{name}.weight_scale_inv")
        _check_shape(folder, f"{name}.weight_scale_inv", scales, fp8_blocks.scales_shape(shape))
        return Fp8Matrix(stored, scales, order)
    if stored.dtype not in FLOATS:
        raise BadModelFile(
            f"tensor {name}.weight is of type {stored.dtype}; this engine reads weights as "
            "BF16, F16, F32, FP8 in blocks, or packed 4 bits: take such a checkpoint"
        )
    return FloatMatrix(stored, order)


def _int4(folder: CheckpointFolder, name: str, shape: tuple[int, int], order: Tensor | None) -> Int4Matrix:
    packed, scales = folder.tensor(f"{name}.weight_packed"), folder.tensor(f"{name}.weight_scale")
    words = -(-shape[1] // pack_quantized.VALUES_PER_WORD)
    _check_shape(folder, f"{name}.weight_packed", packed, (shape[0], words))
    _check_shape(folder, f"{name}.weight_scale", scales, (shape[0], shape[1] // pack_quantized.GROUP_SIZE))
    if shape[1] % pack_quantized.GROUP_SIZE or packed.dtype != torch.int32:
        raise BadModelFile(
            f"tensor {name}.weight_packed is not 32-bit words of whole groups of 32: take another"
        )
    if f"{name}.weight_shape" in folder.tensors:
        stated = tuple(folder.tensor(f"{name}.weight_shape").tolist())
        if stated != shape:
            raise BadModelFile(
                f"{name}.weight_shape says {stated}, config.json asks for {shape}: {_ONE_MODEL}"
            )
    return Int4Matrix(packed, scales, order)


_ONE_MODEL = "the folder's files are not of one model; fetch it again"


def _check_shape(folder: CheckpointFolder, name: str, stored: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(stored.shape) != shape:
        raise BadModelFile(
            f"tensor {name} of {folder.path.name} has shape {list(stored.shape)}, config.json asks for "
            f"{list(shape)}: {_ONE_MODEL}"
        )
