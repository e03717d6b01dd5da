"""The files of a conversation, whose turns are a tree: there is one work folder, and the turn at work has it.

A turn begins with the files as its parent left them. Usually they lie there; where the folder was another
branch's last, that branch's end is kept and the parent's is brought back. Agents of a turn have copies of
their own, which go with the turn.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import msgspec

from agents.workspace.folder import (
    CAPS,
    BadPath,
    Caps,
    NoSuchFile,
    WorkFile,
    WorkFolder,
    WorkspaceFull,
    clean,
)
from agents.workspace.snapshots import EMPTY, END, Kept, Snapshot, SnapshotLost, Store
from agents.workspace.turn_files import UPLOADS, Workspace

START = 0
BEFORE_ALL = "before"  # stands for the turn before the first one

# The ids of a turn's ancestors, nearest first. It is asked for where the folder is to change hands, under the
# lock, and raises for a turn that is over.
Ancestors = Callable[[], Sequence[str]]


class _Holder(msgspec.Struct, frozen=True):
    """Who has the folder. `is_settled`: it holds the turn's files, and is not just being brought there."""

    turn: str
    is_settled: bool


class ConversationFiles:
    """`root` is the conversation's own."""

    def __init__(self, root: Path, *, caps: Caps = CAPS) -> None:
        self.root = root
        self._caps = caps
        self._store = Store(root)

    def of_turn(self, turn: str, *, ancestors: Ancestors) -> Workspace:
        """The folder, with what the turn is to find there. No other turn may be under way but its agents."""
        with self._store.lock():
            workspace = self._workspace(turn)
            self._hand_over(workspace, ancestors)
        return workspace

    def of_agent(self, agent: str, *, turn: str, ancestors: Ancestors) -> Workspace:
        """The agent's own folder; at first it holds what its turn's does."""
        files = self.root / "agents" / agent
        if not files.exists():
            origin = self.of_turn(turn, ancestors=ancestors)
            with self._store.lock():
                begun = self.root / "agents" / f"new-{uuid4().hex}"
                first = self._workspace(agent, files=begun)
                start = origin.seen()
                first.become(start)
                self._store.write(agent, f"{START:08d}", start)
                if not files.exists():
                    begun.rename(files)
        return self._workspace(agent, files=files)

    def hand_in(self, agent: str, *, under: str) -> None:
        """Bring what the agent has made or changed into its turn's folder, below `under`, as far as there is
        room. Again: the same."""
        files = self.root / "agents" / agent
        start = self._store.read(agent, f"{START:08d}")
        if start is None or not files.exists():
            return
        with self._store.lock():
            theirs = self._workspace(agent, files=files)
            for path, kept in theirs.seen().files.items():
                if path in start.files and start.files[path].digest == kept.digest:
                    continue
                with self._store.open(kept) as source, suppress(BadPath, WorkspaceFull):
                    self._folder().put(f"{under}/{path}", source.read(), is_executable=kept.is_executable)

    def has_used_files(self, turn: str) -> bool:
        """Whether the turn, or agent, has been given its files already."""
        return bool(self._store.labels(turn))

    def shown(self, line: Sequence[str]) -> "Shown":
        """The files as they are at the end of the branch: of the first turn of `line` that has any."""
        holder = self._holder()
        folder = self._folder()
        for turn in line:
            if holder is not None and turn == holder.turn:
                return Shown(folder)
            if (end := self._store.read(turn, END)) is not None:
                return Shown(folder, store=self._store, snapshot=end)
        if holder is None:
            return Shown(folder)
        return Shown(folder, store=self._store, snapshot=self._store.read(BEFORE_ALL, END) or EMPTY)

    def put(self, path: str, content: bytes) -> None:
        """Raises BadPath, WorkspaceFull."""
        with self._store.lock():
            self._folder().put(path, content)

    def remove(self, path: str) -> bool:
        """False when there was no such file. Raises BadPath."""
        with self._store.lock():
            return self._folder().remove(path)

    def forget(self) -> None:
        """Remove everything. What cannot be removed now is moved aside first, out of everybody's way."""
        if not self.root.exists():
            return
        aside = self.root.with_name(f".gone-{uuid4().hex}")
        self.root.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    # ---- under the lock

    def _hand_over(self, workspace: Workspace, ancestors: Ancestors) -> None:
        turn, holder = workspace.name, self._holder()
        if holder is None:
            start = workspace.seen()
            self._store.write(BEFORE_ALL, END, start)
            self._begin(turn, start)
        elif holder.turn != turn:
            if holder.is_settled:
                self._end(holder.turn)
            start = self._start(ancestors())
            self._begin(turn, start)
            self._hold(turn, is_settled=False)
            workspace.become(start)
        elif not holder.is_settled:
            workspace.become(workspace.snapshot(START) or EMPTY)
        else:
            return
        self._hold(turn, is_settled=True)

    def _begin(self, turn: str, start: Snapshot) -> None:
        self._store.write(turn, f"{START:08d}", start)

    def _end(self, turn: str) -> None:
        """Its files as they were when it ended, with what people have put there since; its steps, and its
        agents, are nobody's any more."""
        self._store.write(turn, END, self._workspace(turn).seen())
        self._store.close(turn)
        agents = self.root / "agents"
        for agent in agents.iterdir() if agents.exists() else ():
            WorkFolder(agent).clear()
            self._store.forget(agent.name)
        self._store.collect()

    def _start(self, line: Sequence[str]) -> Snapshot:
        for ancestor in (*line, BEFORE_ALL):
            if (end := self._store.read(ancestor, END)) is not None:
                return end
        return EMPTY

    def _holder(self) -> _Holder | None:
        try:
            return msgspec.json.decode((self.root / "holder.json").read_bytes(), type=_Holder)
        except FileNotFoundError:
            return None

    def _hold(self, turn: str, *, is_settled: bool) -> None:
        temporary = self.root / f"new-{uuid4().hex}"
        temporary.write_bytes(msgspec.json.encode(_Holder(turn=turn, is_settled=is_settled)))
        temporary.replace(self.root / "holder.json")

    def _workspace(self, name: str, *, files: Path | None = None) -> Workspace:
        return Workspace(self.root, name=name, files=files, store=self._store, caps=self._caps)

    def _folder(self) -> WorkFolder:
        return WorkFolder(self.root / "files", caps=self._caps)


class Shown:
    """Files to be read: those of the folder, or of a snapshot together with what people have put there; none
    where there is no folder."""

    def __init__(
        self, folder: WorkFolder | None, *, store: Store | None = None, snapshot: Snapshot | None = None
    ) -> None:
        self._folder = folder
        self._store = store
        self._snapshot = snapshot

    def files(self) -> list[WorkFile]:
        """By path."""
        there = self._folder.files() if self._folder else []
        if self._snapshot is None:
            return there
        found = {file.path: file for file in there if _is_upload(file.path)}
        found |= {path: _work_file(path, kept) for path, kept in self._snapshot.files.items()}
        return [found[path] for path in sorted(found)]

    @contextmanager
    def open(self, path: str) -> Iterator[tuple[BinaryIO, WorkFile]]:
        """The file for reading. Raises BadPath, NoSuchFile."""
        path = clean(path)
        kept = self._snapshot.files.get(path) if self._snapshot else None
        if kept is not None and self._store is not None:
            with _kept_open(self._store, kept, path) as file:
                yield file, _work_file(path, kept)
        elif self._folder and (self._snapshot is None or _is_upload(path)):
            with self._folder.open(path) as file:
                yield file, self._folder.about(path)
        else:
            raise NoSuchFile(f"There is no file {path}.")


@contextmanager
def _kept_open(store: Store, kept: Kept, path: str) -> Iterator[BinaryIO]:
    try:
        file = store.open(kept)
    except SnapshotLost as fault:
        raise NoSuchFile(f"{path} is not kept any more.") from fault
    with file:
        yield file


def _is_upload(path: str) -> bool:
    return path.startswith(f"{UPLOADS}/")


def _work_file(path: str, kept: Kept) -> WorkFile:
    return WorkFile(
        path=path, num_bytes=kept.size, changed_ns=kept.changed_ns, is_executable=kept.is_executable
    )
