"""What a conversation's files were after each step and at each turn's end: lists of paths and digests.

What the files hold is kept once by its digest, whichever turns have it. Every write is renamed into place, so
a crash leaves the old state or the new. All but reading is done under the conversation's lock.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import msgspec

from agents.workspace.folder import CHUNK, WorkspaceFull

MAX_BYTES = 512 * 2**20
END = "end"


class SnapshotLost(Exception):
    """A snapshot names contents that are not there any more."""


class Kept(msgspec.Struct, frozen=True):
    """A file of a snapshot."""

    digest: str
    size: int
    is_executable: bool
    changed_ns: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    """The files by their paths, relative to the folder."""

    files: dict[str, Kept]

    @property
    def name(self) -> str:
        """The same for the same files, whenever they were written."""
        alike = [(path, file.digest, file.is_executable) for path, file in sorted(self.files.items())]
        return hashlib.sha256(msgspec.json.encode(alike)).hexdigest()[:16]


EMPTY = Snapshot(files={})


class Store:
    """Snapshots by turn and label, and what they hold, of one conversation. `max_bytes` is what all of it may
    take on the disk: the oldest go first."""

    def __init__(self, root: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._root = root
        self._objects = root / "objects"
        self._turns = root / "turns"
        self._max_bytes = max_bytes
        self._num_bytes: int | None = None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Whoever holds it changes the conversation's files and snapshots alone, on this machine."""
        self._root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # ---- contents

    def keep(self, source: BinaryIO, *, max_bytes: int | None, looks: os.stat_result) -> Kept:
        """Copy the file under its digest. It may grow meanwhile: what is read counts. Raises
        WorkspaceFull."""
        self._objects.mkdir(exist_ok=True)
        temporary = self._objects / f"new-{uuid4().hex}"
        try:
            digest, size = _copy(source, temporary, max_bytes=max_bytes)
            place = self._object(digest)
            if not place.exists():
                place.parent.mkdir(exist_ok=True)
                self._num_bytes = self._stored_bytes() + size
                temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        is_executable = bool(looks.st_mode & 0o100)
        return Kept(digest=digest, size=size, is_executable=is_executable, changed_ns=looks.st_mtime_ns)

    def has(self, file: Kept) -> bool:
        try:
            return self._object(file.digest).stat().st_size == file.size
        except FileNotFoundError:
            return False

    def open(self, file: Kept) -> BinaryIO:
        """Raises SnapshotLost."""
        try:
            return self._object(file.digest).open("rb")
        except FileNotFoundError as fault:
            raise SnapshotLost("What the file held is not kept any more.") from fault

    # ---- snapshots

    def labels(self, turn: str) -> list[str]:
        """Of the turn's steps, in their order."""
        return sorted(path.stem for path in self._of(turn).glob("[0-9]*.json"))

    def read(self, turn: str, label: str) -> Snapshot | None:
        try:
            return msgspec.json.decode((self._of(turn) / f"{label}.json").read_bytes(), type=Snapshot)
        except FileNotFoundError:
            return None

    def write(self, turn: str, label: str, snapshot: Snapshot) -> None:
        folder = self._of(turn)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"new-{uuid4().hex}"
        temporary.write_bytes(msgspec.json.encode(snapshot))
        temporary.replace(folder / f"{label}.json")

    def close(self, turn: str) -> None:
        """Keep no more of the turn than its end: nobody goes back within it."""
        for path in self._of(turn).iterdir():
            if path.stem != END:
                path.unlink(missing_ok=True)

    def forget(self, turn: str) -> None:
        """Keep nothing of it."""
        folder = self._of(turn)
        if folder.exists():
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
            folder.rmdir()

    def tidy(self, *, turn: str) -> None:
        """Clear what a crash has left half written, and come below what the disk may hold: the oldest ends of
        other turns go, then the oldest steps of this one, whose start and newest step stay."""
        self._clear_half_written()
        if self._stored_bytes() <= self._max_bytes:
            return
        self._collect()
        for path in self._droppable(turn):
            if self._stored_bytes() <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            self._collect()

    def _droppable(self, turn: str) -> list[Path]:
        ends = [path for path in self._turns.glob(f"*/{END}.json") if path.parent.name != turn]
        steps = [self._of(turn) / f"{label}.json" for label in self.labels(turn)[1:-1]]
        return [*sorted(ends, key=lambda path: path.stat().st_mtime_ns), *steps]

    def collect(self) -> None:
        """Remove contents that no snapshot names, and what a crash has left half written."""
        self._clear_half_written()
        self._collect()

    def _collect(self) -> None:
        wanted: set[str] = set()
        for path in self._turns.glob("*/*.json"):
            snapshot = msgspec.json.decode(path.read_bytes(), type=Snapshot)
            wanted.update(file.digest for file in snapshot.files.values())
        num_bytes = 0
        for path in self._objects.glob("*/*"):
            if path.name in wanted:
                num_bytes += path.stat().st_size
            else:
                path.unlink(missing_ok=True)
        self._num_bytes = num_bytes

    def _clear_half_written(self) -> None:
        for half in (*self._objects.glob("new-*"), *self._turns.glob("*/new-*")):
            half.unlink(missing_ok=True)

    def _stored_bytes(self) -> int:
        if self._num_bytes is None:
            sizes = 0
            for path in self._objects.glob("*/*"):
                with suppress(FileNotFoundError):
                    sizes += path.stat().st_size
            self._num_bytes = sizes
        return self._num_bytes

    def _of(self, turn: str) -> Path:
        return self._turns / turn

    def _object(self, digest: str) -> Path:
        return self._objects / digest[:2] / digest


def _copy(source: BinaryIO, target: Path, *, max_bytes: int | None) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as out:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if max_bytes is not None and size > max_bytes:
                raise WorkspaceFull("The files are larger than a snapshot may be.")
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest(), size
