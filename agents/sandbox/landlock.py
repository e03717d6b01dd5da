"""Landlock: the kernel's own fence around a process without namespaces. Files that are not named cannot be
opened, whatever the program believes that it may do; nor can it reach a port, an abstract socket or a
process outside.
"""

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # alike on every machine
_VERSION = 1
_BENEATH = 1
_EXECUTE, _READ_FILE, _READ_FOLDER = 1, 4, 8
_OF_FILES = _EXECUTE | _READ_FILE
# What each version of the kernel's interface knows to refuse: files, then ports, then sockets and signals.
_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}
_PORT_RIGHTS = {4: 0x3}
_SCOPES = {6: 0x3}

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Of the kernel's interface; 0 where there is none."""
    return max(0, int(_libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)))


def rules(readable: Sequence[Path], executable: Sequence[Path]) -> int | None:
    """A descriptor of a fence for `confine`: only what lies at or below these paths can be read, or read and
    run. None where the kernel has none. Raises OSError."""
    known = version()
    if not known:
        return None
    attributes = struct.pack(
        "=QQQ", _best(_FILE_RIGHTS, known), _best(_PORT_RIGHTS, known), _best(_SCOPES, known)
    )
    size = 8 if known < 4 else 16 if known < 6 else 24
    fence = _called(_CREATE, ctypes.c_char_p(attributes), ctypes.c_size_t(size), 0)
    try:
        for paths, rights in (
            (readable, _READ_FILE | _READ_FOLDER),
            (executable, _EXECUTE | _READ_FILE | _READ_FOLDER),
        ):
            for path in paths:
                _allow(fence, path, rights)
    except OSError:
        os.close(fence)
        raise
    return fence


def confine(fence: int) -> None:
    """The calling process, and all that it becomes or starts. It may gain no privileges any more."""
    _called(_RESTRICT, ctypes.c_int(fence), 0)


def _allow(fence: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        allowed = rights if path.is_dir() else rights & _OF_FILES
        rule = struct.pack("=Qi", allowed, descriptor)
        _called(_ADD, ctypes.c_int(fence), _BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(descriptor)


def _best(rights: dict[int, int], known: int) -> int:
    return max((value for since, value in rights.items() if since <= known), default=0)


def _called(number: int, *words: object) -> int:
    result = int(_libc.syscall(number, *words))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
