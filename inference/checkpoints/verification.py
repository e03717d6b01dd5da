"""Whether a model is whole and sound: known checksums hold, every tensor is there, every number finite."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from torch import Tensor

from inference.checkpoints import BadModelFile, folder, gguf_config, gguf_file, hub_config, layout, weights
from inference.checkpoints.folder import CheckpointFolder
from inference.checkpoints.gguf_file import GGUFFile
from inference.checkpoints.layout import Expected

OnProgress = Callable[[int, int], None]  # parameters done, parameters in all
# Where a block's fp16 numbers begin; all else in a block are integers.
_HALVES = {"Q4_0": (0,), "Q4_1": (0, 2), "Q8_0": (0,), "Q4_K": (0, 2), "Q6_K": (208,)}
_FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_VALUES_AT_ONCE = 1 << 24


def faults(path: Path, *, on_progress: OnProgress = lambda done, total: None) -> list[str]:
    """What is wrong with a .gguf file or a checkpoint folder, each fault with what to do; empty: nothing.

    Reads every byte once. Raises BadModelFile where it cannot even be opened.
    """
    if path.is_dir():
        opened = folder.read(path)
        return [*_changed_files(path), *_faults_of_folder(opened, on_progress)]
    return list(_faults_of_gguf(gguf_file.read(path), on_progress))


def _changed_files(path: Path) -> Iterator[str]:
    """Files that are not what the hub sent: its client leaves a note of each beside them, and the second line
    is the SHA-256 of one that is kept as a large file.
    """
    notes = path / ".cache" / "huggingface" / "download"
    for note in sorted(notes.glob("*.metadata")):
        lines = note.read_text(encoding="utf-8").split()
        file = path / note.name.removesuffix(".metadata")
        if len(lines) < 2 or len(lines[1]) != 64 or not file.exists():
            continue
        with file.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != lines[1]:
                yield f"{file.name} is not the file that the hub sent: remove it and pull again"


def _faults_of_folder(opened: CheckpointFolder, on_progress: OnProgress) -> Iterator[str]:
    expected = list(layout.tensors(hub_config.read(opened.config, name=opened.path.name)))
    try:
        weights.check_quantization(opened)
    except BadModelFile as fault:
        yield str(fault)
        return
    for done, parameter in enumerate(expected, start=1):
        try:
            yield from _faults_of_parameter(opened, parameter)
        except BadModelFile as fault:
            yield str(fault)
        opened.release_pages()
        on_progress(done, len(expected))


def _faults_of_parameter(opened: CheckpointFolder, parameter: Expected) -> Iterator[str]:
    stem = parameter.name
    stored_as = weights.check(opened, stem, parameter.shape)
    if not parameter.is_matrix:
        floats: tuple[str, ...] = (stem,)
    elif stored_as == "packed":
        floats = (stem + weights.PACKED_SCALE,)
    elif stored_as == "fp8":
        floats = (stem + weights.PLAIN, stem + weights.FP8_SCALE)
    else:
        floats = (stem + weights.PLAIN,)
    for name in floats:
        if not _is_finite(opened.tensor(name)):
            yield f"{name} holds NaN or infinity: fetch it again, or take another checkpoint"


def _is_finite(stored: Tensor) -> bool:
    pieces = stored.flatten().split(_VALUES_AT_ONCE)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return all(bool(torch.isfinite(piece.float()).all()) for piece in pieces)


def _faults_of_gguf(file: GGUFFile, on_progress: OnProgress) -> Iterator[str]:
    expected = list(layout.tensors(gguf_config.read(file)))
    for done, parameter in enumerate(expected, start=1):
        name = gguf_config.tensor_name(parameter.name)
        info = file.tensors.get(name)
        if info is None:
            yield f"the file holds no tensor {name}: fetch it again"
        elif info.shape != parameter.shape:
            shapes = f"{list(info.shape)}, the header asks for {list(parameter.shape)}"
            yield f"{name} has shape {shapes}: fetch the file again"
        elif not _is_finite_gguf(file, name):
            yield f"{name} holds NaN or infinity: fetch it again, or take another file"
        file.release_pages()
        on_progress(done, len(expected))


def _is_finite_gguf(file: GGUFFile, name: str) -> bool:
    """Of a quantised tensor the scales; a format unknown here counts as sound."""
    type_name, raw = file.tensors[name].type_name, file.raw(name)
    if type_name in _FLOATS:
        return _is_finite(torch.from_numpy(raw).view(_FLOATS[type_name]))
    _, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[type_name]]
    blocks = raw.reshape(-1, block_bytes)
    return all(
        bool(np.isfinite(np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16)).all())
        for at in _HALVES.get(type_name, ())
    )
