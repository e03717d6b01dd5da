"""Keeps two folders alike: the one that code in the sandbox writes, and the turn's work folder outside.

One of them is hostile. Only regular files are taken, every step goes by file descriptor and follows no link,
names prove nothing, and count, depth and bytes are bounded by what is there, not by what it says of itself.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

MAX_FILES = 4_096
MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
MAX_NAME_CHARS = 200
CHUNK = 2**20
TEMPORARY = ".arriving-"

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Seen:
    """What tells whether a file has changed since it was copied."""

    size: int
    changed_ns: int
    inode: int
    is_executable: bool


@dataclass(frozen=True)
class Difference:
    """What a copy has changed in its target. `left_out` says in words what could not be taken."""

    written: dict[str, int] = field(default_factory=dict)  # path -> bytes
    removed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Mirror:
    """`inside` is the sandbox's folder. `owner` is who its files belong to; None: whoever runs this."""

    def __init__(self, outside: Path, inside: Path, *, owner: int | None) -> None:
        self._outside = os.open(outside, _FOLDER & ~os.O_NOFOLLOW)
        self._inside = os.open(inside, _FOLDER & ~os.O_NOFOLLOW)
        self._owner = owner
        self._known_outside: dict[str, Seen] = {}
        self._known_inside: dict[str, Seen] = {}

    def bring_in(self) -> Difference:
        return self._copy(self._outside, self._inside, self._known_outside, self._known_inside, self._owner)

    def bring_out(self) -> Difference:
        return self._copy(self._inside, self._outside, self._known_inside, self._known_outside, None)

    def _copy(
        self,
        source: int,
        target: int,
        known_source: dict[str, Seen],
        known_target: dict[str, Seen],
        owner: int | None,
    ) -> Difference:
        here, left_out = found(source)
        written = {}
        left_bytes = MAX_BYTES
        gone = tuple(path for path in known_source if path not in here)
        for path in gone:
            remove(target, path)
            known_source.pop(path)
            known_target.pop(path, None)
        for path, now in here.items():
            left_bytes -= now.size
            if left_bytes < 0:
                left_out.append(f"{path} (all files together are larger than {MAX_BYTES >> 20} MiB)")
                break
            if known_source.get(path) == now:
                continue
            try:
                copied = _carried(source, target, path, max_bytes=left_bytes + now.size, owner=owner)
            except OSError as fault:
                left_out.append(f"{path} ({fault.strerror or fault})")
                continue
            known_source[path], known_target[path], written[path] = now, copied, copied.size
        return Difference(written, gone, tuple(left_out))


def found(folder: int) -> tuple[dict[str, Seen], list[str]]:
    """Every file below that can be kept, and in words what cannot."""
    here: dict[str, Seen] = {}
    left_out: list[str] = []
    for path, about in _entries(folder):
        if isinstance(about, str):
            if len(left_out) < 10:
                left_out.append(f"{path} ({about})")
        elif len(here) < MAX_FILES:
            here[path] = about
        else:
            return here, [*left_out, f"{path} and what follows (there are more than {MAX_FILES} files)"]
    return here, left_out


def _entries(folder: int, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Seen | str]]:
    """Each regular file below, and why another thing is none, in a stable order."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = f"{prefix}{name}"
        if name.startswith(TEMPORARY):
            continue
        if not _is_name(name):
            yield f"{path!a:.200}", "a name that cannot be kept"
            continue
        try:
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(about.st_mode):
            yield path, seen(about)
        elif not stat.S_ISDIR(about.st_mode):
            yield path, "neither a file nor a folder"
        elif depth == MAX_DEPTH:
            yield path, "too deep"
        else:
            with suppress(OSError), _opened(name, folder) as inner:
                yield from _entries(inner, f"{path}/", depth + 1)


def is_kept(path: str) -> bool:
    """Whether a file of that path can be: what a program says is a path may be anything."""
    names = path.split("/")
    return len(names) <= MAX_DEPTH + 1 and all(_is_name(name) for name in names)


def _is_name(name: str) -> bool:
    is_odd = name in ("", ".", "..") or name.startswith(TEMPORARY)
    return not is_odd and name.isprintable() and len(name) <= MAX_NAME_CHARS


def seen(about: os.stat_result) -> Seen:
    return Seen(about.st_size, about.st_mtime_ns, about.st_ino, bool(about.st_mode & stat.S_IXUSR))


def _carried(source: int, target: int, path: str, *, max_bytes: int, owner: int | None) -> Seen:
    """Copy one file; how it now looks in the target. What grows meanwhile is cut at `max_bytes`."""
    with opened(source, path) as reading:
        is_executable = bool(os.fstat(reading).st_mode & stat.S_IXUSR)
        with arriving(target, path, is_executable=is_executable, owner=owner) as writing:
            _pour(reading, writing, max_bytes)
            return seen(os.fstat(writing))


@contextmanager
def opened(source: int, path: str) -> Iterator[int]:
    """A regular file of the folder, to read. Raises OSError."""
    *folders, name = path.split("/")
    with _inside(source, folders) as origin:
        reading = os.open(name, _READ, dir_fd=origin)
    try:
        if not stat.S_ISREG(os.fstat(reading).st_mode):
            raise OSError(f"{path} is no file any more")
        yield reading
    finally:
        os.close(reading)


@contextmanager
def arriving(target: int, path: str, *, is_executable: bool, owner: int | None = None) -> Iterator[int]:
    """A file to write, which takes its place in the folder when it is whole. Raises OSError."""
    *folders, name = path.split("/")
    with _inside(target, folders, owner=owner, makes=True) as place:
        temporary = f"{TEMPORARY}{os.urandom(8).hex()}"
        writing = os.open(temporary, _CREATE, 0o644, dir_fd=place)
        try:
            os.fchmod(writing, 0o755 if is_executable else 0o644)
            if owner is not None:
                os.fchown(writing, owner, owner)
            yield writing
            os.rename(temporary, name, src_dir_fd=place, dst_dir_fd=place)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=place)
            raise
        finally:
            os.close(writing)


def _pour(reading: int, writing: int, max_bytes: int) -> None:
    left = max_bytes
    while left > 0 and (chunk := os.read(reading, min(CHUNK, left))):
        left -= len(chunk)
        write_all(writing, chunk)


def write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def remove(target: int, path: str) -> None:
    """The file, and the folders that are empty without it."""
    *folders, name = path.split("/")
    with suppress(OSError):
        with _inside(target, folders) as place:
            os.unlink(name, dir_fd=place)
        while folders:
            *folders, name = folders
            with _inside(target, folders) as place:
                os.rmdir(name, dir_fd=place)


@contextmanager
def _inside(
    folder: int, folders: list[str], *, owner: int | None = None, makes: bool = False
) -> Iterator[int]:
    """The folder at that path."""
    if not folders:
        yield folder
        return
    name, *rest = folders
    if makes and not _is_folder(name, folder):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        os.mkdir(name, 0o755, dir_fd=folder)
        if owner is not None:
            os.chown(name, owner, owner, dir_fd=folder, follow_symlinks=False)
    with _opened(name, folder) as inner, _inside(inner, rest, owner=owner, makes=makes) as innermost:
        yield innermost


@contextmanager
def _opened(name: str, parent: int) -> Iterator[int]:
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_folder(name: str, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
