"""The weights of a checkpoint folder as plain numbers, whatever format they are stored in."""

from collections.abc import Iterator

import torch
from torch import Tensor

from inference.checkpoints import fp8_blocks, pack_quantized
from inference.checkpoints.folder import CheckpointFolder

PACKED, PACKED_SCALE, PACKED_SHAPE = ".weight_packed", ".weight_scale", ".weight_shape"
PLAIN, FP8_SCALE = ".weight", ".weight_scale_inv"
_SIDE_TENSORS = (PACKED_SCALE, PACKED_SHAPE, FP8_SCALE)


def names(folder: CheckpointFolder) -> Iterator[str]:
    """Every parameter once, in the files' order: a packed matrix under the name of the plain `.weight`."""
    for name in folder.tensors:
        if name.endswith(PACKED):
            yield name.removesuffix(PACKED) + PLAIN
        elif not name.endswith(_SIDE_TENSORS):
            yield name


def is_packed(folder: CheckpointFolder, name: str) -> bool:
    return name.removesuffix(PLAIN) + PACKED in folder.tensors


def is_fp8(folder: CheckpointFolder, name: str) -> bool:
    return name in folder.tensors and folder.tensors[name].dtype == "F8_E4M3"


def plain(folder: CheckpointFolder, name: str) -> Tensor:
    """The parameter as floats: fp32 where it was quantised, else as stored. Raises BadModelFile."""
    stem = name.removesuffix(PLAIN)
    if is_packed(folder, name):
        return pack_quantized.dequantize(folder.tensor(stem + PACKED), folder.tensor(stem + PACKED_SCALE))
    stored = folder.tensor(name)
    if is_fp8(folder, name):
        return fp8_blocks.dequantize(stored, folder.tensor(stem + FP8_SCALE), torch.arange(stored.shape[0]))
    return stored
