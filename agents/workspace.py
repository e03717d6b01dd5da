"""A turn's work folder, and snapshots of it to go back to.

A snapshot is a list of paths and digests; what they hold is kept once by its digest. Only regular files and
their folders count: whatever else code leaves there (links, pipes, devices) is never followed, never kept,
and gone after a restore. The folder is written by code that nobody trusts, so every step into it goes by file
descriptor and follows no link; nothing outside it is ever read or changed. Files nested more deeply than
32 folders do not count either.
"""

import asyncio
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import msgspec

MAX_FILES = 4_096
MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
CHUNK = 2**20

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class WorkspaceFull(Exception):
    """There are more files, or larger ones, than a snapshot may hold; the text says which limit."""


class SnapshotLost(Exception):
    """A snapshot names contents that are not there any more."""


class Kept(msgspec.Struct, frozen=True):
    """A file of a snapshot."""

    digest: str
    size: int
    is_executable: bool


class Snapshot(msgspec.Struct, frozen=True):
    """The files by their paths, relative to the folder."""

    files: dict[str, Kept]

    @property
    def name(self) -> str:
        """The same for the same files."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]


@dataclass(frozen=True)
class Caps:
    max_files: int = MAX_FILES
    max_bytes: int = MAX_BYTES


class Workspace:
    """`root/files` is the work folder. One process at a time may use it.

    `take` is called after each step that may have changed files. Every write goes to a name of its own first
    and is then renamed, so a crash leaves either the old state or the new; the call is made again.
    """

    def __init__(self, root: Path, *, caps: Caps = Caps()) -> None:
        self.files = root / "files"
        self._objects = root / "objects"
        self._snapshots = root / "snapshots"
        self._caps = caps
        for folder in (self.files, self._objects, self._snapshots):
            folder.mkdir(parents=True, exist_ok=True)

    def take(self, step: int) -> Snapshot:
        """Keep the folder as it is after this step. Raises WorkspaceFull, and then keeps nothing of it."""
        self._tidy()
        kept: dict[str, Kept] = {}
        left = self._caps.max_bytes
        with _opened(self.files, _FOLDER) as folder:
            for path, name, parent in _regular_files(folder):
                if len(kept) == self._caps.max_files:
                    raise WorkspaceFull(f"There are more than {self._caps.max_files} files.")
                file = self._keep(name, parent, max_bytes=left)
                if file is not None:
                    kept[path] = file
                    left -= file.size
        snapshot = Snapshot(files=kept)
        self._write(self._snapshots / _label(step), msgspec.json.encode(snapshot))
        return snapshot

    def snapshot(self, step: int) -> Snapshot | None:
        """The folder as it was after this step; None: no step up to it has left a snapshot."""
        labels = sorted(path.name for path in self._snapshots.iterdir() if path.suffix == ".json")
        before = [label for label in labels if label <= _label(step)]
        if not before:
            return None
        return msgspec.json.decode((self._snapshots / before[-1]).read_bytes(), type=Snapshot)

    def restore(self, to_step: int, *, at_step: int) -> Snapshot:
        """Bring the folder back to how it was after `to_step`, empty where no snapshot is that old. From
        `at_step` on it counts as unchanged. Raises SnapshotLost, and then changes nothing."""
        snapshot = self.snapshot(to_step) or Snapshot(files={})
        for path, file in snapshot.files.items():
            if not self._is_whole(file):
                raise SnapshotLost(f"{path} of step {to_step} cannot be had back")
        with _opened(self.files, _FOLDER) as folder:
            _remove_others(folder, set(snapshot.files))
            for path, file in snapshot.files.items():
                self._put_back(folder, path, file)
        self._write(self._snapshots / _label(at_step), msgspec.json.encode(snapshot))
        return snapshot

    async def go_back(self, to_step: int, *, at_step: int) -> str:
        """As `restore`, for the rollback tool."""
        snapshot = await asyncio.to_thread(self.restore, to_step, at_step=at_step)
        return snapshot.name

    def remove(self) -> None:
        """Everything, snapshots included."""
        for top in (self.files, self._objects, self._snapshots):
            with suppress(FileNotFoundError):
                with _opened(top, _FOLDER) as folder:
                    _empty(folder)
                top.rmdir()

    # ---- contents

    def _keep(self, name: str, parent: int, *, max_bytes: int) -> Kept | None:
        """Copy the file under its digest; None when it is no regular file any more."""
        try:
            source = os.open(name, _READ, dir_fd=parent)
        except OSError:  # it has gone, or a link has taken its place
            return None
        temporary = self._objects / f"new-{uuid4().hex}"
        try:
            about = os.fstat(source)
            if not stat.S_ISREG(about.st_mode):
                return None
            digest, size = _copy(source, temporary, max_bytes=max_bytes)
            place = self._object(digest)
            place.parent.mkdir(exist_ok=True)
            temporary.replace(place)
            return Kept(digest=digest, size=size, is_executable=bool(about.st_mode & stat.S_IXUSR))
        finally:
            os.close(source)
            temporary.unlink(missing_ok=True)

    def _put_back(self, folder: int, path: str, file: Kept) -> None:
        *folders, name = path.split("/")
        with _inside(folder, folders) as parent:
            if _is_same(name, parent, file):
                return
            temporary = f".new-{uuid4().hex}"
            target = os.open(temporary, _CREATE, 0o755 if file.is_executable else 0o644, dir_fd=parent)
            with os.fdopen(target, "wb") as out, self._object(file.digest).open("rb") as source:
                while chunk := source.read(CHUNK):
                    out.write(chunk)
            if _is_folder(name, parent):
                _remove_folder(name, parent)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)

    def _is_whole(self, file: Kept) -> bool:
        try:
            return self._object(file.digest).stat().st_size == file.size
        except FileNotFoundError:
            return False

    def _object(self, digest: str) -> Path:
        return self._objects / digest[:2] / digest

    def _write(self, place: Path, content: bytes) -> None:
        temporary = place.with_name(f"new-{uuid4().hex}")
        temporary.write_bytes(content)
        temporary.replace(place)

    def _tidy(self) -> None:
        """Remove what a crash has left half written."""
        for folder in (self._objects, self._snapshots):
            for path in folder.glob("new-*"):
                path.unlink()


def _label(step: int) -> str:
    return f"{step:08d}.json"


def _copy(source: int, target: Path, *, max_bytes: int) -> tuple[str, int]:
    """The digest and the size of what was copied. The file may grow meanwhile: what is read counts."""
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as out:
        while chunk := os.read(source, CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise WorkspaceFull("The files are larger than a snapshot may be.")
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest(), size


# ---- the folder, by file descriptors


@contextmanager
def _opened(path: Path | str, flags: int, *, parent: int | None = None) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags, dir_fd=parent)
    except PermissionError:  # its maker has locked it; what was no link just now still is none
        os.chmod(path, 0o700, dir_fd=parent)
        descriptor = os.open(path, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _regular_files(folder: int, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str, int]]:
    """Path, name and parent of every regular file; the parent is open until the next one is asked for."""
    for name in sorted(os.listdir(folder)):
        try:
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISREG(mode) and _is_text(name):
            yield f"{prefix}{name}", name, folder
        elif stat.S_ISDIR(mode) and depth < MAX_DEPTH and _is_text(name):
            with (
                suppress(NotADirectoryError, FileNotFoundError),
                _opened(name, _FOLDER, parent=folder) as inner,
            ):
                yield from _regular_files(inner, f"{prefix}{name}/", depth + 1)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _inside(folder: int, folders: list[str]) -> Iterator[int]:
    """The folder at that path, made where it is missing."""
    if not folders:
        yield folder
        return
    name, *rest = folders
    if not _is_folder(name, folder):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        os.mkdir(name, 0o755, dir_fd=folder)
    with _opened(name, _FOLDER, parent=folder) as inner, _inside(inner, rest) as innermost:
        yield innermost


def _remove_others(folder: int, wanted: set[str], prefix: str = "") -> None:
    """Remove all but these files and the folders they are in."""
    folders = {path.removeprefix(prefix).partition("/")[0] for path in wanted if path.startswith(prefix)}
    for name in os.listdir(folder):
        path = f"{prefix}{name}"
        if not _is_folder(name, folder):
            if path not in wanted:
                os.unlink(name, dir_fd=folder)
        elif name in folders and path not in wanted:
            inside = {other for other in wanted if other.startswith(f"{path}/")}
            with _opened(name, _FOLDER, parent=folder) as inner:
                _remove_others(inner, inside, f"{path}/")
        else:
            _remove_folder(name, folder)


def _remove_folder(name: str, parent: int) -> None:
    with _opened(name, _FOLDER, parent=parent) as inner:
        _empty(inner)
    os.rmdir(name, dir_fd=parent)


def _empty(folder: int) -> None:
    """Remove all that is in the folder. Inner folders are lifted up level by level: they may be nested more
    deeply than there are file descriptors."""
    while names := os.listdir(folder):
        for name in names:
            if not _is_folder(name, folder):
                os.unlink(name, dir_fd=folder)
                continue
            with _opened(name, _FOLDER, parent=folder) as inner:
                for child in os.listdir(inner):
                    if _is_folder(child, inner):
                        os.rename(child, f".old-{uuid4().hex}", src_dir_fd=inner, dst_dir_fd=folder)
                    else:
                        os.unlink(child, dir_fd=inner)
            os.rmdir(name, dir_fd=folder)


def _is_folder(name: str, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _is_same(name: str, parent: int, file: Kept) -> bool:
    """The file is there and holds what it should."""
    try:
        descriptor = os.open(name, _READ, dir_fd=parent)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as opened:
        about = os.fstat(descriptor)
        is_alike = stat.S_ISREG(about.st_mode) and about.st_size == file.size
        is_executable = bool(about.st_mode & stat.S_IXUSR)
        if not is_alike or is_executable != file.is_executable:
            return False
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.digest
