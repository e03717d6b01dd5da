"""A checkpoint with its weights in other formats: BF16 to INT4, and INT4 or FP8 back to plain floats.

Both go through the source tensor by tensor and write shard by shard: memory stays that of one shard.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference.checkpoints import BadModelFile, folder, hub_config, layout, listing, pack_quantized, weights
from inference.checkpoints.folder import CheckpointFolder
from inference.checkpoints.layout import Expected
from inference.checkpoints.writing import SHARD_BYTES, CheckpointWriter

# What Kimi K2 leaves as it is, in compressed-tensors' spelling; the routed experts are what is left.
K2_IGNORE = (
    "lm_head",
    "re:.*self_attn.*",
    "re:.*shared_experts.*",
    r"re:.*mlp\.(gate|up|gate_up|down)_proj.*",
)
FLOATS = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
# Of this format and of others that lie beside it.
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_LINEAR_ROLES = ("attention", "mlp", "shared expert", "expert", "head")

OnProgress = Callable[[int, int], None]  # parameters done, parameters in all


def quantize(
    source: Path,
    target: Path,
    *,
    ignore: Sequence[str] = K2_IGNORE,
    shard_bytes: int = SHARD_BYTES,
    on_progress: OnProgress = lambda done, total: None,
) -> int:
    """Write `source` with its linear maps in INT4 groups of 32, and answer how many.

    `ignore` names modules that stay, or patterns behind `re:`. Raises BadModelFile for a source that is
    incomplete or holds nothing to quantise, AlreadyThere where the target exists.
    """
    opened, parameters = _read_whole(source)
    chosen = {parameter.name for parameter in parameters if can_quantize(parameter, ignore)}
    if not chosen:
        raise BadModelFile(
            f"nothing in {source.name} is to be quantised: name fewer modules to leave as they are (--ignore)"
        )
    config = {**_plain_config(opened), "quantization_config": quantization_config(ignore)}

    def write(writer: CheckpointWriter, name: str) -> None:
        stem = name.removesuffix(weights.PLAIN)
        if stem not in chosen:
            _write_plain(writer, opened, name, torch.bfloat16)
            return
        weight = weights.plain(opened, name)
        values, scales = pack_quantized.quantize(weight.float())
        writer.add(stem + weights.PACKED, pack_quantized.pack(values))
        writer.add(stem + weights.PACKED_SCALE, scales)
        writer.add(stem + weights.PACKED_SHAPE, torch.tensor(weight.shape, dtype=torch.int32))

    _rewrite(opened, target, config, write, shard_bytes, on_progress)
    return len(chosen)


def convert(
    source: Path,
    target: Path,
    *,
    dtype: torch.dtype = torch.bfloat16,
    shard_bytes: int = SHARD_BYTES,
    on_progress: OnProgress = lambda done, total: None,
) -> None:
    """Write `source` with every quantised matrix in plain floats of `dtype`; what is plain stays as it is.

    Raises BadModelFile for a source that is incomplete, AlreadyThere where the target exists.
    """
    opened, _ = _read_whole(source)

    def write(writer: CheckpointWriter, name: str) -> None:
        _write_plain(writer, opened, name, dtype)

    _rewrite(opened, target, _plain_config(opened), write, shard_bytes, on_progress)


def _read_whole(source: Path) -> tuple[CheckpointFolder, list[Expected]]:
    """The folder, and all its parameters. Raises BadModelFile unless each is there in a format read here."""
    opened = folder.read(source)
    parameters = list(layout.tensors(hub_config.read(opened.config, name=source.name)))
    weights.check_all(opened, parameters)
    return opened, parameters


def _rewrite(
    opened: CheckpointFolder,
    target: Path,
    config: dict[str, Any],
    write: Callable[[CheckpointWriter, str], None],
    shard_bytes: int,
    on_progress: OnProgress,
) -> None:
    names = list(weights.names(opened))
    with CheckpointWriter(target, config, shard_bytes=shard_bytes) as writer:
        for done, name in enumerate(names, start=1):
            write(writer, name)
            opened.release_pages()
            on_progress(done, len(names))
        for path in sorted(opened.path.iterdir()):
            if path.is_file() and not _is_of_weights(path):
                writer.copy_file(path)


def _is_of_weights(path: Path) -> bool:
    return path.suffix in _WEIGHT_SUFFIXES or path.name in (listing.CONFIG, listing.INDEX)


def _write_plain(writer: CheckpointWriter, opened: CheckpointFolder, name: str, dtype: torch.dtype) -> None:
    """Quantised matrices as floats of `dtype`, all else as stored."""
    is_quantized = weights.is_packed(opened, name) or weights.is_fp8(opened, name)
    plain: Tensor = weights.plain(opened, name)
    writer.add(name, plain.to(dtype) if is_quantized else plain)


def can_quantize(expected: Expected, ignore: Sequence[str]) -> bool:
    """Whether a parameter is a linear map of whole groups that no pattern names."""
    return (
        expected.is_matrix
        and expected.role in _LINEAR_ROLES
        and expected.shape[1] % pack_quantized.GROUP_SIZE == 0
        and not _is_ignored(expected.name, ignore)
    )


def _is_ignored(name: str, ignore: Sequence[str]) -> bool:
    """Whether a module is named, or matched from its beginning by a pattern behind `re:`."""
    return any(
        re.match(pattern[3:], name) is not None if pattern.startswith("re:") else pattern == name
        for pattern in ignore
    )


def _plain_config(opened: CheckpointFolder) -> dict[str, Any]:
    """config.json without its quantisation, and that of the language part where it is nested."""
    text = opened.config.get("text_config")
    config = {**opened.config, **(text if isinstance(text, dict) else {})}
    return {key: value for key, value in config.items() if key not in ("quantization_config", "text_config")}


def quantization_config(ignore: Sequence[str]) -> dict[str, Any]:
    """As Kimi K2's config.json has it."""
    scheme = {
        "num_bits": 4,
        "type": "int",
        "symmetric": True,
        "strategy": "group",
        "group_size": pack_quantized.GROUP_SIZE,
        "actorder": None,
        "block_structure": None,
        "dynamic": False,
        "observer": "minmax",
        "observer_kwargs": {},
    }
    group = {"targets": ["Linear"], "weights": scheme, "input_activations": None, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "kv_cache_scheme": None,
        "config_groups": {"group_0": group},
        "ignore": list(ignore),
    }
