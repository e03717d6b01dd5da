"""The kernel's calls that Python has no words for: own namespaces, mounts, and what a process may become."""

import ctypes
import os
import signal
from pathlib import Path

_NEW_MOUNTS = 0x00020000
_NEW_USERS = 0x10000000
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _REMOUNT = 1, 2, 4, 32
_BIND, _RECURSIVE, _PRIVATE = 4_096, 16_384, 1 << 18
_DETACH = 2
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES, _FILTER_CALLS = 1, 38, 22
_BY_A_PROGRAM = 2

_libc = ctypes.CDLL(None, use_errno=True)


def own_mounts(*, as_root: bool) -> None:
    """From now on what this process mounts is seen by it and its children alone, and ends with them. Who is
    not root becomes the root of a namespace of its own. The process must have one thread."""
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", _NEW_MOUNTS if as_root else _NEW_MOUNTS | _NEW_USERS)
    if not as_root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _call("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)


def mount_memory(place: Path, options: str) -> None:
    """An empty file system that lies in memory."""
    _call("mount", b"sandbox", bytes(place), b"tmpfs", _NO_SETUID | _NO_DEVICES, options.encode())


def show_read_only(source: Path, place: Path) -> None:
    """Let a folder be seen at another place, where nobody can write to it."""
    _call("mount", bytes(source), bytes(place), None, _BIND, None)
    flags = _BIND | _REMOUNT | _READ_ONLY | _NO_SETUID | _NO_DEVICES
    _call("mount", b"none", bytes(place), None, flags, None)


def die_with_parent() -> None:
    _call("prctl", _DIE_WITH_PARENT, int(signal.SIGKILL), 0, 0, 0)


def gain_no_privileges() -> None:
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def filter_calls(program: bytes) -> None:
    """A filter of agents.sandbox.seccomp, of this process and all that it becomes. It may gain no privileges
    any more."""
    about = _Program(len(program) // 8, program)
    if _libc.prctl(_FILTER_CALLS, ctypes.c_ulong(_BY_A_PROGRAM), ctypes.byref(about), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def _call(name: str, *arguments: int | bytes | None) -> None:
    words = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in arguments]
    if getattr(_libc, name)(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
