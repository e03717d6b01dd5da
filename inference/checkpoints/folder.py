"""A checkpoint folder, as published on a hub: config.json and safetensors, memory-mapped.

The safetensors library checks every header; the tensors are mapped here, because the library cannot give
pages back once they were read.
"""

import json
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from inference.checkpoints import BadModelFile, listing
from inference.checkpoints.listing import FETCH_AGAIN

# Models that are the language part of a larger one say so before every name.
_PREFIX = "language_model."
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as stored; `dtype` is safetensors' name."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    shard: "Shard"
    offset: int
    num_bytes: int


@dataclass(frozen=True, eq=False)
class Shard:
    path: Path
    mapping: mmap.mmap


@dataclass(frozen=True)
class CheckpointFolder:
    """An open folder. Names are without a `language_model.` before them."""

    path: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    shards: Sequence[Shard]

    def info(self, name: str) -> TensorInfo:
        """Raises BadModelFile where there is no such tensor."""
        if name not in self.tensors:
            raise BadModelFile(f"{self.path.name} holds no tensor {name}: {FETCH_AGAIN}")
        return self.tensors[name]

    def tensor(self, name: str) -> Tensor:
        """The tensor over the mapped file, read from disk as it is touched. Raises BadModelFile."""
        info = self.info(name)
        if info.dtype not in DTYPES:
            raise BadModelFile(
                f"tensor {name} is of type {info.dtype}; this engine reads {', '.join(DTYPES)}"
            )
        dtype = DTYPES[info.dtype]
        if info.num_bytes == 0:
            return torch.empty(info.shape, dtype=dtype)
        count = info.num_bytes // dtype.itemsize
        flat = torch.frombuffer(info.shard.mapping, dtype=dtype, count=count, offset=info.offset)
        return flat.view(info.shape)

    def release_pages(self) -> None:
        """Tell the system that what was read so far may leave memory; touching it again reads it again."""
        for shard in self.shards:
            shard.mapping.madvise(mmap.MADV_DONTNEED)

    @property
    def num_bytes(self) -> int:
        return sum(info.num_bytes for info in self.tensors.values())


def read(path: Path) -> CheckpointFolder:
    """Open a folder. Raises BadModelFile for one that is incomplete, or OSError where it cannot be read."""
    config = listing.read_config(path)
    tensors: dict[str, TensorInfo] = {}
    for file, expected in listing.shards(path).items():
        found = _tensors(path / file)
        missing = sorted(set(expected) - set(found))
        if missing:
            raise BadModelFile(f"{file} lacks {missing[0]}, which its index names: {FETCH_AGAIN}")
        for name, info in found.items():
            name = name.removeprefix(_PREFIX)
            if name in tensors:
                other = tensors[name].shard.path.name
                raise BadModelFile(f"{name} is in {other} and in {file}: {FETCH_AGAIN}")
            tensors[name] = info
    shards = tuple({info.shard.path: info.shard for info in tensors.values()}.values())
    return CheckpointFolder(path, config, tensors, shards)


def _tensors(path: Path) -> dict[str, TensorInfo]:
    """What one file holds, its header checked by the library."""
    try:
        with safetensors.safe_open(path, framework="pt"):
            pass
    except FileNotFoundError:
        raise BadModelFile(f"{path.name} is missing from {path.parent}: {FETCH_AGAIN}") from None
    except (safetensors.SafetensorError, ValueError) as error:
        raise BadModelFile(f"{path.name} is cut short or damaged ({error}): {FETCH_AGAIN}") from error
    with path.open("rb") as file:
        # Copy-on-write, though nobody writes: torch warns of memory that is not writable.
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    start = 8 + int.from_bytes(mapping[:8], "little")
    header = json.loads(mapping[8:start])
    header.pop("__metadata__", None)
    shard = Shard(path, mapping)
    return {name: _info(name, entry, shard, start) for name, entry in header.items()}


def _info(name: str, entry: dict[str, Any], shard: Shard, start: int) -> TensorInfo:
    begin, end = entry["data_offsets"]
    return TensorInfo(name, entry["dtype"], tuple(entry["shape"]), shard, start + begin, end - begin)
