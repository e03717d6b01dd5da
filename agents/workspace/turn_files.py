"""The files of one turn: the folder as it is now, and the steps to go back to."""

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from agents.workspace.changes import Change, Journal
from agents.workspace.folder import (
    CAPS,
    FOLDER,
    READ,
    Caps,
    WorkFolder,
    WorkspaceFull,
    opened,
    put_back,
    regular_files,
    remove_others,
)
from agents.workspace.snapshots import EMPTY, Kept, Snapshot, SnapshotLost, Store

# What people have put there belongs to the conversation, whichever way its turns went: going back takes none
# of it away.
UPLOADS = "uploads"
# A file that was written so lately may be written again within one tick of the disk's clock.
TICK_NS = 100_000_000


class _Looks(NamedTuple):
    inode: int
    size: int
    changed_ns: int
    status_ns: int


class Workspace:
    """`root/files` is the work folder where nothing else is said. One turn at a time uses it.

    `take` is called after each step that may have changed files. Doing a thing again after a crash brings it
    to its end.
    """

    def __init__(
        self,
        root: Path,
        *,
        name: str = "turn",
        files: Path | None = None,
        store: Store | None = None,
        caps: Caps = CAPS,
    ) -> None:
        self.folder = WorkFolder(files or root / "files", caps=caps)
        self.name = name
        self._marks = root / "turns" / name
        self._store = store or Store(root)
        self._caps = caps
        self._known: dict[str, tuple[_Looks, Kept]] = {}

    @property
    def files(self) -> Path:
        return self.folder.root

    # ---- files

    def put(self, path: str, content: bytes) -> None:
        """Raises BadPath, WorkspaceFull."""
        with self._store.lock():
            self.folder.put(path, content)

    def change(self, key: str, *, step: int, make: Callable[[WorkFolder], Change]) -> str:
        """Carry out what `make` decides on, all of it or nothing, and once for a key: called again, it goes
        on from where it was cut, and says the same. No code may run in the folder meanwhile. Raises what
        `make` does, BadPath and WorkspaceFull, and then has changed nothing."""
        journal = Journal(self._marks)
        with self._store.lock():
            change = journal.read(key)
            self.folder.clear_half_written()
            if change is None:
                change = make(self.folder)
                self.folder.check(change.files)
                journal.write(key, change)
            if change.files:
                journal.carry_out(key, change, self.folder)
                with suppress(WorkspaceFull):  # people have filled it meanwhile
                    self._take(step)
        return change.told

    def has_begun(self, key: str) -> bool:
        """Whether that change was decided on before."""
        return Journal(self._marks).read(key) is not None

    # ---- steps

    def take(self, step: int) -> Snapshot:
        """Keep the folder as it is after this step. Raises WorkspaceFull, and then keeps nothing of it."""
        with self._store.lock():
            return self._take(step)

    def _take(self, step: int) -> Snapshot:
        snapshot = self.seen(caps=self._caps)
        self._store.write(self.name, _label(step), snapshot)
        self._store.tidy(turn=self.name)
        return snapshot

    def snapshot(self, step: int) -> Snapshot | None:
        """The folder as it was after this step; None: no step up to it has left a snapshot."""
        before = [label for label in self._store.labels(self.name) if label <= _label(step)]
        return self._store.read(self.name, before[-1]) if before else None

    def restore(self, to_step: int, *, at_step: int) -> Snapshot:
        """Bring the folder back to how it was after `to_step`, empty where no snapshot is that old. From
        `at_step` on it counts as unchanged. Raises SnapshotLost, and then changes nothing."""
        with self._store.lock():
            snapshot = self.snapshot(to_step) or EMPTY
            self.become(snapshot)
            self._store.write(self.name, _label(at_step), snapshot)
        return snapshot

    async def go_back(self, to_step: int, *, at_step: int) -> str:
        """As `restore`, for the rollback tool."""
        snapshot = await asyncio.to_thread(self.restore, to_step, at_step=at_step)
        return snapshot.name

    # ---- marks: what a later worker of the turn must know

    def has_mark(self, name: str) -> bool:
        return (self._marks / name).exists()

    def set_mark(self, name: str, *, is_set: bool) -> None:
        if is_set:
            self._marks.mkdir(parents=True, exist_ok=True)
            (self._marks / name).touch()
        else:
            (self._marks / name).unlink(missing_ok=True)

    # ---- under the lock

    def seen(self, *, caps: Caps | None = None) -> Snapshot:
        """The folder as it is, its contents kept. Raises WorkspaceFull where there is more than `caps`."""
        kept: dict[str, Kept] = {}
        left = caps.max_bytes if caps else None
        with opened(self.files, FOLDER) as folder:
            for path, name, parent, _ in regular_files(folder):
                if caps and len(kept) == caps.max_files:
                    raise WorkspaceFull(f"There are more than {caps.max_files} files.")
                file = self._kept(path, name, parent, max_bytes=left)
                if file is not None:
                    kept[path] = file
                    left = None if left is None else left - file.size
                    if left is not None and left < 0:
                        raise WorkspaceFull("The files are larger than a snapshot may be.")
        return Snapshot(files=kept)

    def become(self, snapshot: Snapshot) -> None:
        """Bring the folder to that state, but for what people have put there. Raises SnapshotLost, and then
        changes nothing."""
        for path, file in snapshot.files.items():
            if not self._store.has(file):
                raise SnapshotLost(f"What {path} held then is not kept any more.")
        with opened(self.files, FOLDER) as folder:
            remove_others(folder, set(snapshot.files), spared=UPLOADS)
            for path, file in snapshot.files.items():
                if not _is_same(folder, path, file):
                    with self._store.open(file) as source:
                        put_back(folder, path, source, is_executable=file.is_executable)

    def _kept(self, path: str, name: str, parent: int, *, max_bytes: int | None) -> Kept | None:
        """None when it is no regular file any more."""
        with _regular(name, parent) as descriptor:
            if descriptor is None:
                return None
            about = os.fstat(descriptor)
            looks = _Looks(about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            known = self._known.get(path)
            if known is not None and known[0] == looks and self._store.has(known[1]):
                return known[1]
            with os.fdopen(os.dup(descriptor), "rb") as source:
                file = self._store.keep(source, max_bytes=max_bytes, looks=about)
        if time.time_ns() - about.st_ctime_ns > TICK_NS:
            self._known[path] = (looks, file)
        return file


class TurnFiles:
    """A turn's workspace, taken up when it is first needed: most turns need none. `has_begun` tells whether
    the turn, maybe in another process, has done so before."""

    def __init__(
        self, take_up: Callable[[], Awaitable[Workspace]], *, has_begun: Callable[[], bool] = lambda: True
    ) -> None:
        self._take_up = take_up
        self._has_begun = has_begun
        self._workspace: Workspace | None = None

    async def workspace(self) -> Workspace:
        if self._workspace is None:
            self._workspace = await self._take_up()
        return self._workspace

    @property
    def at_hand(self) -> Workspace:
        """The workspace that was taken up before."""
        assert self._workspace is not None
        return self._workspace

    async def go_back(self, to_step: int, *, at_step: int) -> str:
        """As Workspace.go_back; the empty string where the turn has no files yet."""
        if not await asyncio.to_thread(self._has_begun):
            return ""
        return await (await self.workspace()).go_back(to_step, at_step=at_step)


def at_hand(workspace: Workspace) -> TurnFiles:
    async def take_up() -> Workspace:
        return workspace

    files = TurnFiles(take_up)
    files._workspace = workspace
    return files


@contextmanager
def _regular(name: str, parent: int) -> Iterator[int | None]:
    try:
        descriptor = os.open(name, READ, dir_fd=parent)
    except OSError:  # it has gone, or a link has taken its place
        yield None
        return
    try:
        yield descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _label(step: int) -> str:
    return f"{step:08d}"


def _is_same(folder: int, path: str, file: Kept) -> bool:
    """The file is there and holds what it should."""
    *folders, name = path.split("/")
    at = os.dup(folder)
    try:
        for inner in folders:
            following = os.open(inner, FOLDER, dir_fd=at)
            os.close(at)
            at = following
        descriptor = os.open(name, READ, dir_fd=at)
    except OSError:
        return False
    finally:
        os.close(at)
    with os.fdopen(descriptor, "rb") as opened_file:
        about = os.fstat(descriptor)
        is_alike = stat.S_ISREG(about.st_mode) and about.st_size == file.size
        if not is_alike or bool(about.st_mode & stat.S_IXUSR) != file.is_executable:
            return False
        return hashlib.file_digest(opened_file, "sha256").hexdigest() == file.digest
