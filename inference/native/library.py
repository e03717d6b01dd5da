"""The native library as Python sees it: loaded once, its functions declared, its kernels proved.

The twin of src/kernel_abi.cpp. Pointers are passed as integers; whoever calls keeps the memory alive.
"""

import ctypes
import functools
from ctypes import POINTER, Structure, c_bool, c_char_p, c_float, c_int32, c_int64, c_void_p
from pathlib import Path

from inference.native import build


class Matrix(Structure):
    """`native::Matrix` of src/matrix.h."""

    _fields_ = [
        ("kind", c_int32),
        ("factor", c_float),
        ("num_rows", c_int64),
        ("num_columns", c_int64),
        ("data", c_void_p),
    ]


class Place(Structure):
    """`native::Place` of src/pack.h."""

    _fields_ = [
        ("kind", c_int32),
        ("row", c_int64),
        ("num_rows", c_int64),
        ("num_columns", c_int64),
        ("data", c_void_p),
    ]


_MATRICES, _PLACE = POINTER(Matrix), POINTER(Place)
_FUNCTIONS = {
    "native_instruction_set": (c_char_p, []),
    "native_team_create": (c_void_p, [c_int32]),
    "native_team_destroy": (None, [c_void_p]),
    "native_team_size": (c_int32, [c_void_p]),
    "native_packed_bytes": (c_int64, [c_int32, c_int64, c_int64]),
    "native_pack_integers": (None, [_PLACE, c_void_p, c_int32]),
    "native_pack_scales": (None, [_PLACE, c_void_p, c_void_p, c_float]),
    "native_pack_floats": (None, [_PLACE, c_void_p]),
    "native_pack_stored": (None, [_PLACE, c_void_p, c_void_p]),
    "native_linear": (None, [_MATRICES, c_void_p, c_int64, c_void_p, c_bool, c_void_p]),
}


@functools.cache
def load(path: Path | None = None) -> ctypes.CDLL:
    """The library at `path`, by default this machine's own, built where it must be. Raises
    build.BuildFailed.
    """
    path = path or build.build()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise build.BuildFailed(
            f"the built library does not load: {error}; delete {path} if it is damaged, or set KERNEL_CACHE"
            " to a folder that programs may run from"
        ) from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


class Team:
    """Threads that share out a product's rows; the calling thread is one of them. One caller at a time."""

    def __init__(self, num_threads: int, *, library: ctypes.CDLL | None = None) -> None:
        self.library = library or load()
        self.handle: int | None = self.library.native_team_create(num_threads)

    @property
    def num_threads(self) -> int:
        """What the system gave; at most what was asked for."""
        return int(self.library.native_team_size(self.handle))

    def close(self) -> None:
        """End the threads. A second call does nothing."""
        if self.handle is not None:
            self.library.native_team_destroy(self.handle)
            self.handle = None

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
