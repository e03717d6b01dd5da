"""A folder that hostile code has written, read and changed by file descriptor: no link is ever followed.

Only regular files and their folders count. Whatever else code leaves there (links, pipes, devices, names that
are no text, what is nested too deeply) is never opened, never listed, and gone after a restore. Every write
goes to a name of its own first and is then renamed: a crash leaves the old file or the new one.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

MAX_FILES = 4_096
MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
MAX_NAME_CHARS = 200
CHUNK = 2**20
# The sandbox's mirror copies nothing of this name either.
TEMPORARY = ".arriving-"
# How code in the sandbox names the folder.
INSIDE = "/workspace/"

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class BadPath(ValueError):
    """No file can have this path; the text says why."""


class NoSuchFile(Exception):
    """There is no regular file at the path."""


class WorkspaceFull(Exception):
    """There are more files, or larger ones, than the folder may hold; the text says which limit."""


@dataclass(frozen=True)
class Caps:
    max_files: int = MAX_FILES
    max_bytes: int = MAX_BYTES


CAPS = Caps()


@dataclass(frozen=True, kw_only=True)
class WorkFile:
    """A file by its path, which is relative to the folder. The time is in nanoseconds since 1970."""

    path: str
    num_bytes: int
    changed_ns: int
    is_executable: bool = False


def clean(path: str) -> str:
    """The path relative to the folder. Raises BadPath."""
    names = [name for name in path.removeprefix(INSIDE).split("/") if name not in ("", ".")]
    if path.startswith("/") and not path.startswith(INSIDE):
        raise BadPath(f"{path!a:.200} is outside the work folder: give a path relative to it.")
    if not names or path.endswith("/"):
        raise BadPath(f"{path!a:.200} names no file.")
    if ".." in names:
        raise BadPath(f"{path!a:.200} leads out of the work folder: give a path relative to it.")
    if len(names) > MAX_DEPTH:
        raise BadPath(f"The path is nested more deeply than {MAX_DEPTH} folders.")
    for name in names:
        if not name.isprintable() or len(name) > MAX_NAME_CHARS or len(name.encode()) > 255:
            raise BadPath(f"{name!a:.200} cannot be the name of a file: it is too long, or has signs unseen.")
        if name.startswith(TEMPORARY):
            raise BadPath(f"Names that begin with {TEMPORARY} are the platform's own.")
    return "/".join(names)


class WorkFolder:
    """`root` itself is ours and no link; what is in it is not. Made when it is missing."""

    def __init__(self, root: Path, *, caps: Caps = CAPS) -> None:
        self.root = root
        self.caps = caps
        root.mkdir(parents=True, exist_ok=True)

    def files(self) -> list[WorkFile]:
        """Every regular file, by path."""
        with opened(self.root, FOLDER) as folder:
            return [_about(path, about) for path, _, _, about in regular_files(folder)]

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """The file for reading. Raises BadPath, NoSuchFile."""
        *folders, name = clean(path).split("/")
        with (
            opened(self.root, FOLDER) as root,
            _there(root, folders, path) as parent,
            os.fdopen(_open_file(name, parent, path), "rb") as file,
        ):
            yield file

    def about(self, path: str) -> WorkFile:
        """Raises BadPath, NoSuchFile."""
        with self.open(path) as file:
            return _about(clean(path), os.fstat(file.fileno()))

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """Raises BadPath, NoSuchFile, and WorkspaceFull for a larger file."""
        with self.open(path) as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise WorkspaceFull(f"{path} is larger than {max_bytes} bytes.")
        return content

    def put(self, path: str, content: bytes, *, is_executable: bool | None = None) -> None:
        """Write the file and the folders it is in; a file that is there keeps whether it can be executed.
        Raises BadPath, and WorkspaceFull before anything is written."""
        path = clean(path)
        *folders, name = path.split("/")
        self.check({path: content})
        with opened(self.root, FOLDER) as root, inside(root, folders) as parent:
            if is_executable is None:
                is_executable = _is_executable(name, parent)
            with _written(name, parent, is_executable=is_executable) as out:
                out.write(content)

    def remove(self, path: str) -> bool:
        """Remove the file and the folders that are empty without it; False when it was not there."""
        *folders, name = clean(path).split("/")
        with opened(self.root, FOLDER) as root:
            try:
                with _there(root, folders, path) as parent:
                    if _is_folder(name, parent):
                        return False
                    os.unlink(name, dir_fd=parent)
            except (NoSuchFile, FileNotFoundError):
                return False
            while folders:
                *folders, name = folders
                try:
                    with _there(root, folders, path) as parent:
                        os.rmdir(name, dir_fd=parent)
                except OSError:
                    return True
        return True

    def clear_half_written(self) -> None:
        """Remove what a crash has left; nobody may be writing into the folder."""
        with opened(self.root, FOLDER) as folder:
            for path, name, parent, _ in regular_files(folder, shows_half_written=True):
                if path.rpartition("/")[2].startswith(TEMPORARY):
                    os.unlink(name, dir_fd=parent)

    def clear(self) -> None:
        """Remove all that is in it, and the folder."""
        with suppress(FileNotFoundError):
            with opened(self.root, FOLDER) as folder:
                empty(folder)
            self.root.rmdir()

    def check(self, changes: Mapping[str, bytes | None]) -> None:
        """Whether these files can be written, or be gone where nothing is given: raises BadPath,
        WorkspaceFull."""
        wanted = {clean(path): content for path, content in changes.items()}
        written = {path: len(content) for path, content in wanted.items() if content is not None}
        sizes = {file.path: file.num_bytes for file in self.files() if file.path not in wanted} | written
        for path in written:
            for end in (at for at, sign in enumerate(path) if sign == "/"):
                if path[:end] in sizes:
                    raise BadPath(f"{path[:end]} is a file, so nothing can be in it.")
        folders = {path[:end] for path in sizes for end, sign in enumerate(path) if sign == "/"}
        if taken := folders & written.keys():
            raise BadPath(f"{min(taken)} is a folder.")
        if len(sizes) > self.caps.max_files and written:
            raise WorkspaceFull(
                f"The work folder holds at most {self.caps.max_files} files: remove some first."
            )
        if sum(sizes.values()) > self.caps.max_bytes and written:
            most = f"{self.caps.max_bytes >> 20} MiB"
            raise WorkspaceFull(f"The work folder holds at most {most}: remove or shorten files first.")


# ---- by file descriptors


@contextmanager
def opened(path: Path | str, flags: int, *, parent: int | None = None) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags, dir_fd=parent)
    except PermissionError:  # its maker has locked it; what was no link just now still is none
        os.chmod(path, 0o700, dir_fd=parent)
        descriptor = os.open(path, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def regular_files(
    folder: int, prefix: str = "", depth: int = 0, *, shows_half_written: bool = False
) -> Iterator[tuple[str, str, int, os.stat_result]]:
    """Path, name, parent and looks of every regular file in a stable order; the parent is open until the next
    one is asked for."""
    for name in sorted(os.listdir(folder)):
        if not (_is_shown(name) or shows_half_written):
            continue
        try:
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(about.st_mode):
            yield f"{prefix}{name}", name, folder, about
        elif stat.S_ISDIR(about.st_mode) and depth < MAX_DEPTH:
            with (
                suppress(NotADirectoryError, FileNotFoundError),
                opened(name, FOLDER, parent=folder) as inner,
            ):
                deeper = f"{prefix}{name}/"
                yield from regular_files(inner, deeper, depth + 1, shows_half_written=shows_half_written)


@contextmanager
def inside(folder: int, folders: list[str]) -> Iterator[int]:
    """The folder at that path, made where it is missing."""
    if not folders:
        yield folder
        return
    name, *rest = folders
    if not _is_folder(name, folder):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=folder)
    with opened(name, FOLDER, parent=folder) as inner, inside(inner, rest) as innermost:
        yield innermost


def put_back(folder: int, path: str, source: BinaryIO, *, is_executable: bool) -> None:
    """Write the file whatever is in its place."""
    *folders, name = path.split("/")
    with inside(folder, folders) as parent:
        if _is_folder(name, parent):
            _remove_folder(name, parent)
        with _written(name, parent, is_executable=is_executable) as out:
            while chunk := source.read(CHUNK):
                out.write(chunk)


def remove_others(folder: int, wanted: set[str], *, spared: str = "", prefix: str = "") -> None:
    """Remove all but these files and the folders they are in, and but the regular files in the top folder
    `spared`."""
    folders = {path.removeprefix(prefix).partition("/")[0] for path in wanted if path.startswith(prefix)}
    for name in os.listdir(folder):
        path = f"{prefix}{name}"
        if not _is_folder(name, folder):
            if path not in wanted:
                os.unlink(name, dir_fd=folder)
        elif path == spared:
            continue
        elif name in folders and path not in wanted:
            within = {other for other in wanted if other.startswith(f"{path}/")}
            with opened(name, FOLDER, parent=folder) as inner:
                remove_others(inner, within, prefix=f"{path}/")
        else:
            _remove_folder(name, folder)


def empty(folder: int) -> None:
    """Remove all that is in the folder. Inner folders are lifted up level by level: they may be nested more
    deeply than there are file descriptors."""
    while names := os.listdir(folder):
        for name in names:
            if not _is_folder(name, folder):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                continue
            with opened(name, FOLDER, parent=folder) as inner:
                for child in os.listdir(inner):
                    if _is_folder(child, inner):
                        os.rename(child, f".old-{uuid4().hex}", src_dir_fd=inner, dst_dir_fd=folder)
                    else:
                        os.unlink(child, dir_fd=inner)
            os.rmdir(name, dir_fd=folder)


@contextmanager
def _there(folder: int, folders: list[str], path: str) -> Iterator[int]:
    """The folder at that path. Raises NoSuchFile."""
    if not folders:
        yield folder
        return
    name, *rest = folders
    try:
        inner = os.open(name, FOLDER, dir_fd=folder)
    except OSError as fault:
        raise NoSuchFile(f"There is no file {path}.") from fault
    try:
        with _there(inner, rest, path) as innermost:
            yield innermost
    finally:
        os.close(inner)


@contextmanager
def _written(name: str, parent: int, *, is_executable: bool) -> Iterator[BinaryIO]:
    temporary = f"{TEMPORARY}{uuid4().hex}"
    descriptor = os.open(temporary, _CREATE, 0o755 if is_executable else 0o644, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        raise


def _open_file(name: str, parent: int, path: str) -> int:
    try:
        descriptor = os.open(name, READ, dir_fd=parent)
    except OSError as fault:
        raise NoSuchFile(f"There is no file {path}.") from fault
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NoSuchFile(f"{path} is no file.")


def _about(path: str, about: os.stat_result) -> WorkFile:
    return WorkFile(
        path=path,
        num_bytes=about.st_size,
        changed_ns=about.st_mtime_ns,
        is_executable=bool(about.st_mode & stat.S_IXUSR),
    )


def _is_shown(name: str) -> bool:
    return name.isprintable() and len(name) <= MAX_NAME_CHARS and not name.startswith(TEMPORARY)


def _is_folder(name: str, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _is_executable(name: str, parent: int) -> bool:
    try:
        return bool(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode & stat.S_IXUSR)
    except FileNotFoundError:
        return False


def _remove_folder(name: str, parent: int) -> None:
    with opened(name, FOLDER, parent=parent) as inner:
        empty(inner)
    os.rmdir(name, dir_fd=parent)
