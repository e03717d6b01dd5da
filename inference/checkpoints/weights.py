"""The weights of a checkpoint folder: which formats are read, whether one is whole, its plain numbers."""

from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor

from inference.checkpoints import BadModelFile, fp8_blocks, pack_quantized
from inference.checkpoints.folder import CheckpointFolder
from inference.checkpoints.layout import Expected

Format = Literal["packed", "fp8", "plain"]

PACKED, PACKED_SCALE, PACKED_SHAPE = ".weight_packed", ".weight_scale", ".weight_shape"
PLAIN, FP8_SCALE = ".weight", ".weight_scale_inv"
_SIDE_TENSORS = (PACKED_SCALE, PACKED_SHAPE, FP8_SCALE)
# What a quantisation of another kind leaves beside its weights.
_FOREIGN = (".weight_zero_point", ".weight_g_idx")
_FLOATS = ("F32", "F16", "BF16")
_ONE_MODEL = "the folder's files are not of one model; fetch it again"


def names(folder: CheckpointFolder) -> Iterator[str]:
    """Every parameter once, in the files' order: a packed matrix under the name of the plain `.weight`."""
    for name in folder.tensors:
        if name.endswith(PACKED):
            yield name.removesuffix(PACKED) + PLAIN
        elif not name.endswith(_SIDE_TENSORS):
            yield name


def check_quantization(folder: CheckpointFolder) -> None:
    """Raises BadModelFile where config.json names a quantisation that cannot be read here."""
    text = folder.config.get("text_config")
    raw = (text.get("quantization_config") if isinstance(text, dict) else None) or folder.config.get(
        "quantization_config"
    )
    if raw and not (isinstance(raw, dict) and (_is_fp8_blocks(raw) or _is_pack_quantized(raw))):
        method, kind = (raw.get("quant_method"), raw.get("format")) if isinstance(raw, dict) else (raw, None)
        raise BadModelFile(
            f"{folder.path.name} is quantised in a way that this engine does not read ({method}, "
            f"{kind or 'no format'}): {_READABLE}"
        )
    foreign = next((name for name in folder.tensors if name.endswith(_FOREIGN)), None)
    if foreign is not None:
        raise BadModelFile(f"{folder.path.name} holds {foreign}, which is not read here: {_READABLE}")


_READABLE = (
    "take the BF16 checkpoint, one in compressed-tensors' pack-quantized format with 4 bits in groups of 32, "
    "or FP8 in blocks of 128 x 128"
)


def _is_fp8_blocks(raw: dict[str, object]) -> bool:
    return raw.get("quant_method") == "fp8" and raw.get("weight_block_size") == [fp8_blocks.SIZE] * 2


def _is_pack_quantized(raw: dict[str, object]) -> bool:
    groups = raw.get("config_groups") or {}
    if (raw.get("quant_method"), raw.get("format")) != ("compressed-tensors", "pack-quantized"):
        return False
    wanted = {"num_bits": 4, "type": "int", "symmetric": True, "group_size": pack_quantized.GROUP_SIZE}
    schemes = [group.get("weights") for group in groups.values()] if isinstance(groups, dict) else [None]
    return all(
        isinstance(scheme, dict) and {key: scheme.get(key) for key in wanted} == wanted for scheme in schemes
    )


def check(folder: CheckpointFolder, name: str, shape: tuple[int, ...]) -> Format:
    """How a parameter of `layout.tensors` is stored. Raises BadModelFile where it is missing, misshapen or of
    another type. Reads no weights.
    """
    if len(shape) == 1:
        return _check_plain(folder, name, shape)
    num_rows, num_columns = shape
    if name + PACKED in folder.tensors:
        _check_packed(folder, name, num_rows, num_columns)
        return "packed"
    if not is_fp8(folder, name + PLAIN):
        return _check_plain(folder, name + PLAIN, shape)
    _check_shape(folder, name + PLAIN, shape)
    _check_plain(folder, name + FP8_SCALE, fp8_blocks.scales_shape((num_rows, num_columns)))
    return "fp8"


def check_all(folder: CheckpointFolder, parameters: Iterable[Expected]) -> None:
    """Raises BadModelFile for a quantisation that is not read here, or the first parameter at fault."""
    check_quantization(folder)
    for parameter in parameters:
        check(folder, parameter.name, parameter.shape)


def _check_packed(folder: CheckpointFolder, name: str, num_rows: int, num_columns: int) -> None:
    words = -(-num_columns // pack_quantized.VALUES_PER_WORD)
    _check_shape(folder, name + PACKED, (num_rows, words))
    _check_plain(folder, name + PACKED_SCALE, (num_rows, num_columns // pack_quantized.GROUP_SIZE))
    if num_columns % pack_quantized.GROUP_SIZE or folder.info(name + PACKED).dtype != "I32":
        raise BadModelFile(
            f"tensor {name}{PACKED} is not 32-bit words of whole groups of 32: take another checkpoint"
        )
    if name + PACKED_SHAPE in folder.tensors:
        shape, stated = [num_rows, num_columns], folder.tensor(name + PACKED_SHAPE).flatten().tolist()
        if stated != shape:
            raise BadModelFile(
                f"{name}{PACKED_SHAPE} says {stated}, config.json asks for {shape}: {_ONE_MODEL}"
            )


def _check_plain(folder: CheckpointFolder, name: str, shape: tuple[int, ...]) -> Literal["plain"]:
    _check_shape(folder, name, shape)
    dtype = folder.info(name).dtype
    if dtype not in _FLOATS:
        raise BadModelFile(
            f"tensor {name} is of type {dtype}; this engine reads weights as BF16, F16, F32, FP8 in blocks, "
            "or packed 4 bits: take such a checkpoint"
        )
    return "plain"


def _check_shape(folder: CheckpointFolder, name: str, shape: tuple[int, ...]) -> None:
    stored = folder.info(name).shape
    if stored != shape:
        raise BadModelFile(
            f"tensor {name} has shape {list(stored)}, config.json asks for {list(shape)}: {_ONE_MODEL}"
        )


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
