"""A GGUF file as metadata and memory-mapped tensors. Needs numpy only; torch is never imported here.

Quantisation types and their sizes come from the `gguf` library. The header is walked here, because the
library's reader makes an array object of every vocabulary entry: 6 s for 150,000 tokens against 0.2 s.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from inference.checkpoints import BadModelFile

__all__ = ["BadModelFile", "GGUFFile", "TensorInfo", "read"]

_MAGIC = b"GGUF"
_SUPPORTED_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_SCALAR_FORMATS = {
    GGUFValueType.UINT8: "B",
    GGUFValueType.INT8: "b",
    GGUFValueType.UINT16: "H",
    GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I",
    GGUFValueType.INT32: "i",
    GGUFValueType.FLOAT32: "f",
    GGUFValueType.BOOL: "?",
    GGUFValueType.UINT64: "Q",
    GGUFValueType.INT64: "q",
    GGUFValueType.FLOAT64: "d",
}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as stored. `shape` is in row-major order: [out, in] for a matrix."""

    name: str
    type_name: str
    shape: tuple[int, ...]
    row_bytes: int
    offset: int

    @property
    def num_rows(self) -> int:
        return int(np.prod(self.shape[:-1], dtype=np.int64))


@dataclass(frozen=True)
class GGUFFile:
    """An open model file. The mapping stays open as long as any array from `raw` is in use."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    mapping: mmap.mmap

    def raw(self, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The tensor's stored bytes, uint8 [rows, row_bytes], read from disk as they are touched."""
        try:
            info = self.tensors[name]
        except KeyError:
            raise BadModelFile(f"{self.path.name} holds no tensor {name!r}") from None
        num_bytes = info.num_rows * info.row_bytes
        stored = np.frombuffer(self.mapping, dtype=np.uint8, count=num_bytes, offset=info.offset)
        return stored.reshape(info.num_rows, info.row_bytes)

    def release_pages(self) -> None:
        """Tell the system that what was read so far may leave memory; touching it again reads it again."""
        self.mapping.madvise(mmap.MADV_DONTNEED)


class _Cursor:
    """Reads little-endian values one after the other; running off the end raises BadModelFile."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.offset = 0

    def scalar(self, code: str) -> Any:
        try:
            (value,) = struct.unpack_from("<" + code, self.data, self.offset)
        except struct.error:
            raise BadModelFile("the file ends inside its header: fetch it again") from None
        self.offset += struct.calcsize("<" + code)
        return value

    def string(self) -> str:
        length = self.scalar("Q")
        end = self.offset + length
        if end > len(self.data):
            raise BadModelFile("the file ends inside its header: fetch it again")
        text = self.data[self.offset : end].decode("utf-8", errors="replace")
        self.offset = end
        return text

    def value(self, value_type: int) -> Any:
        kind = GGUFValueType(value_type)
        if kind == GGUFValueType.STRING:
            return self.string()
        if kind == GGUFValueType.ARRAY:
            return self.array()
        return self.scalar(_SCALAR_FORMATS[kind])

    def array(self) -> list[Any]:
        kind = GGUFValueType(self.scalar("I"))
        length = self.scalar("Q")
        if length > len(self.data):
            raise BadModelFile("an array in the header is longer than the file: fetch it again")
        if kind in _SCALAR_FORMATS:
            layout = struct.Struct(f"<{length}{_SCALAR_FORMATS[kind]}")
            if self.offset + layout.size > len(self.data):
                raise BadModelFile("the file ends inside its header: fetch it again")
            values = list(layout.unpack_from(self.data, self.offset))
            self.offset += layout.size
            return values
        return [self.value(kind) for _ in range(length)]


def read(path: Path) -> GGUFFile:
    """Open a GGUF file. Raises BadModelFile, or OSError where the file cannot be opened."""
    with path.open("rb") as file:
        try:
            # A private copy-on-write mapping: torch warns of arrays that are not writable, and nobody writes
            # to it.
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except ValueError:
            raise BadModelFile(f"{path.name} is empty") from None
    cursor = _Cursor(mapping)
    if mapping[:4] != _MAGIC:
        raise BadModelFile(f"{path.name} is not a GGUF file")
    cursor.offset = 4
    version = cursor.scalar("I")
    if version not in _SUPPORTED_VERSIONS:
        raise BadModelFile(f"{path.name} is GGUF version {version}; versions 2 and 3 can be read")
    num_tensors, num_fields = cursor.scalar("Q"), cursor.scalar("Q")
    metadata = {cursor.string(): cursor.value(cursor.scalar("I")) for _ in range(num_fields)}
    stored = [_tensor_info(cursor) for _ in range(num_tensors)]
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    start = -(-cursor.offset // alignment) * alignment
    tensors = {info.name: _moved(info, start) for info in stored}
    for info in tensors.values():
        if info.offset + info.num_rows * info.row_bytes > len(mapping):
            raise BadModelFile(
                f"{path.name} is cut short: tensor {info.name} is missing bytes; fetch it again"
            )
    return GGUFFile(path, metadata, tensors, mapping)


def _tensor_info(cursor: _Cursor) -> TensorInfo:
    name = cursor.string()
    num_dimensions = cursor.scalar("I")
    shape = tuple(reversed([cursor.scalar("Q") for _ in range(num_dimensions)]))
    tensor_type = GGMLQuantizationType(cursor.scalar("I"))
    offset = cursor.scalar("Q")
    block_size, block_bytes = GGML_QUANT_SIZES[tensor_type]
    return TensorInfo(name, tensor_type.name, shape, shape[-1] // block_size * block_bytes, offset)


def _moved(info: TensorInfo, start: int) -> TensorInfo:
    return TensorInfo(info.name, info.type_name, info.shape, info.row_bytes, info.offset + start)
