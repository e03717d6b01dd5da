"""A GGUF file as metadata and memory-mapped tensors. Needs numpy only; torch is never imported here.

Quantisation types and their sizes come from the `gguf` library. The header is walked here, because the
library's reader makes an array object of every vocabulary entry: 6 s for 150,000 tokens against 0.2 s.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from inference.checkpoints import BadModelFile

__all__ = ["BadModelFile", "GGUFFile", "TensorInfo", "read"]

_MAGIC = b"GGUF"
_SUPPORTED_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_MOST_DIMENSIONS = 4
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
_Kind = TypeVar("_Kind", GGUFValueType, GGMLQuantizationType)


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
        return math.prod(self.shape[:-1])

    @property
    def num_bytes(self) -> int:
        return self.num_rows * self.row_bytes


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
        stored = np.frombuffer(self.mapping, dtype=np.uint8, count=info.num_bytes, offset=info.offset)
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
            raise BadModelFile(_ENDS_EARLY) from None
        self.offset += struct.calcsize("<" + code)
        return value

    def one_of(self, kinds: type[_Kind]) -> _Kind:
        number = self.scalar("I")
        try:
            return kinds(number)
        except ValueError:
            raise BadModelFile(
                f"its header has a {kinds.__name__} of {number}, which is unknown: fetch it again, or a file "
                "of formats known here"
            ) from None

    def string(self) -> str:
        length = self.scalar("Q")
        end = self.offset + length
        if end > len(self.data):
            raise BadModelFile(_ENDS_EARLY)
        text = self.data[self.offset : end].decode("utf-8", errors="replace")
        self.offset = end
        return text

    def value(self) -> Any:
        kind = self.one_of(GGUFValueType)
        if kind == GGUFValueType.STRING:
            return self.string()
        if kind == GGUFValueType.ARRAY:
            return self.array()
        return self.scalar(_SCALAR_FORMATS[kind])

    def array(self) -> list[Any]:
        """Of numbers or strings; no file has arrays of arrays."""
        kind = self.one_of(GGUFValueType)
        length = self.scalar("Q")
        if kind == GGUFValueType.ARRAY or length > len(self.data):
            raise BadModelFile("an array in its header is nested, or longer than the file: fetch it again")
        if kind == GGUFValueType.STRING:
            return [self.string() for _ in range(length)]
        layout = struct.Struct(f"<{length}{_SCALAR_FORMATS[kind]}")
        if self.offset + layout.size > len(self.data):
            raise BadModelFile(_ENDS_EARLY)
        values = list(layout.unpack_from(self.data, self.offset))
        self.offset += layout.size
        return values

    def tensor_info(self) -> TensorInfo:
        """One entry of the table of tensors; its offset counts from where the tensors begin."""
        name = self.string()
        num_dimensions = self.scalar("I")
        if not 1 <= num_dimensions <= _MOST_DIMENSIONS:
            raise BadModelFile(f"tensor {name} has {num_dimensions} dimensions: fetch it again")
        shape = tuple(reversed([self.scalar("Q") for _ in range(num_dimensions)]))
        tensor_type = self.one_of(GGMLQuantizationType)
        block_size, block_bytes = GGML_QUANT_SIZES[tensor_type]
        if min(shape) < 1 or shape[-1] % block_size:
            raise BadModelFile(
                f"tensor {name} has shape {list(shape)}, rows of {tensor_type.name} are whole blocks of "
                f"{block_size}: fetch it again"
            )
        row_bytes = shape[-1] // block_size * block_bytes
        return TensorInfo(name, tensor_type.name, shape, row_bytes, self.scalar("Q"))


_ENDS_EARLY = "the file ends inside its header: fetch it again"


def read(path: Path) -> GGUFFile:
    """Open a GGUF file. Raises BadModelFile, or OSError where the file cannot be opened."""
    with path.open("rb") as file:
        try:
            # A private copy-on-write mapping: torch warns of arrays that are not writable, and nobody writes
            # to it.
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except ValueError:
            raise BadModelFile(f"{path.name} is empty") from None
    try:
        metadata, tensors = _header(_Cursor(mapping))
    except BadModelFile as fault:
        raise BadModelFile(f"{path.name}: {fault}") from None
    return GGUFFile(path, metadata, tensors, mapping)


def _header(cursor: _Cursor) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
    if cursor.data[:4] != _MAGIC:
        raise BadModelFile("this is not a GGUF file")
    cursor.offset = 4
    version = cursor.scalar("I")
    if version not in _SUPPORTED_VERSIONS:
        raise BadModelFile(f"this is GGUF version {version}; versions 2 and 3 can be read")
    num_tensors, num_fields = cursor.scalar("Q"), cursor.scalar("Q")
    metadata = {cursor.string(): cursor.value() for _ in range(num_fields)}
    if metadata.get("split.count", 0) not in (0, 1):
        raise BadModelFile(
            "this is one part of several: join them with llama.cpp's llama-gguf-split --merge, or take a "
            "file that is whole"
        )
    stored = [cursor.tensor_info() for _ in range(num_tensors)]
    return metadata, _placed(stored, _tensors_start(cursor, metadata), num_bytes=len(cursor.data))


def _tensors_start(cursor: _Cursor, metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise BadModelFile(f"its header has general.alignment {alignment!r}: fetch it again")
    return -(-cursor.offset // alignment) * alignment


def _placed(stored: list[TensorInfo], start: int, *, num_bytes: int) -> dict[str, TensorInfo]:
    """The tensors by name, their offsets counted from the file's beginning."""
    tensors: dict[str, TensorInfo] = {}
    for info in stored:
        if info.name in tensors:
            raise BadModelFile(f"tensor {info.name} is in it twice: fetch it again")
        tensors[info.name] = replace(info, offset=start + info.offset)
        if start + info.offset + info.num_bytes > num_bytes:
            raise BadModelFile(f"the file is cut short: tensor {info.name} is missing bytes; fetch it again")
    return tensors
