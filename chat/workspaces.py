"""The work folder of a conversation, and the copies of its agents: what they hold belongs to the person.

Everything in it was written by hostile code or by strangers: it is reached by descriptor only.
"""

import logging
import mimetypes
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

from agents.workspace import BadPath, ConversationFiles, NoSuchFile, Shown, Workspace, WorkspaceFull
from agents.workspace import WorkFile as _File
from chat import branches
from chat.models import Conversation, Turn

__all__ = ["BadPath", "NoSuchFile", "WorkFile", "Workspace", "WorkspaceFull"]

logger = logging.getLogger(__name__)

CHUNK = 2**18
EARLIEST_OF_ZIP = (1980, 1, 1, 0, 0, 0)
PLAIN = "application/octet-stream"


class TurnOver(Exception):
    """The turn has ended, or is gone: it may not take the folder from another."""


@dataclass(frozen=True, kw_only=True)
class WorkFile:
    path: str
    num_bytes: int
    changed_at: datetime
    media_type: str


# ---- for turns


def of_turn(turn: Turn) -> Workspace:
    """The turn's files, as its parent left them when it began. Reads the database. Raises TurnOver."""
    files = _files(turn.conversation_id)
    if turn.spawned_by_id is None:
        return files.of_turn(str(turn.id), ancestors=lambda: _ancestors(turn.id))
    top = turn.spawned_by_id
    return files.of_agent(str(turn.id), turn=str(top), ancestors=lambda: _ancestors(top))


def hand_in(agent: Turn) -> None:
    """Bring what an agent has made to its turn, which finds it in agents/1 for its first agent and so on."""
    files = _files(agent.conversation_id)
    if agent.spawned_by_id is None or not files.has_used_files(str(agent.id)):
        return
    siblings: list[UUID] = list(
        Turn.objects.filter(spawned_by=agent.spawned_by_id).values_list("id", flat=True)
    )
    try:
        files.hand_in(str(agent.id), under=f"agents/{siblings.index(agent.id) + 1}")
    except OSError:  # its answer counts without them
        logger.exception("agent %s: its files could not be handed in", agent.id)


def has_used_files(turn: Turn) -> bool:
    """Whether the turn has taken up its files yet."""
    return _files(turn.conversation_id).has_used_files(str(turn.id))


# ---- for people


def of_conversation(conversation: Conversation) -> Shown:
    """The files at the end of the branch on show."""
    files = _files(conversation.id)
    if not files.root.exists():
        return Shown(None)
    line = branches.path(branches.family(conversation), conversation.current_turn_id)[::-1]
    return files.shown([str(turn_id) for turn_id in line])


def listing(conversation: Conversation) -> list[WorkFile]:
    """By path."""
    return [_described(file) for file in of_conversation(conversation).files()]


@contextmanager
def opened(conversation: Conversation, path: str) -> Iterator[tuple[BinaryIO, WorkFile]]:
    """The file for reading. Raises BadPath, NoSuchFile."""
    with of_conversation(conversation).open(path) as (file, about):
        yield file, _described(about)


def read(conversation: Conversation, path: str, *, max_bytes: int) -> bytes:
    """Raises BadPath, NoSuchFile, and WorkspaceFull for a larger file."""
    with opened(conversation, path) as (file, _):
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise WorkspaceFull(f"{path} is larger than {max_bytes} bytes.")
    return content


def put(conversation: Conversation, path: str, content: bytes) -> None:
    """Into the folder that the next turn finds. What lies in uploads/ stays on every branch. Raises BadPath,
    WorkspaceFull."""
    _files(conversation.id).put(path, content)


def remove(conversation: Conversation, path: str) -> bool:
    """False when there was no such file. Raises BadPath."""
    return _files(conversation.id).remove(path)


def zipped(conversation: Conversation) -> Iterator[bytes]:
    """All files, packed while they are read."""
    shown, sink = of_conversation(conversation), _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in shown.files():
            yield from _packed(archive, sink, shown, file)
    yield sink.taken()


# ---- the end


def forget(conversation_ids: Iterable[UUID]) -> None:
    """Remove the files of conversations that are gone."""
    for conversation_id in conversation_ids:
        _files(conversation_id).forget()


def tidy() -> None:
    """Remove what belongs to no conversation: one was deleted in another way, or while a process died."""
    if not _root().exists():
        return
    names = [path.name for path in _root().iterdir()]
    ids = [found for name in names if (found := _uuid(name)) is not None]
    known = set(Conversation.objects.filter(id__in=ids).values_list("id", flat=True))
    if not known:
        return  # a database that knows none of them is hardly theirs
    for name in names:
        if _uuid(name) not in known:
            shutil.rmtree(_root() / name, ignore_errors=True)


def _ancestors(turn_id: UUID) -> Sequence[str]:
    turn = Turn.objects.filter(id=turn_id).exclude(status=Turn.Status.FINISHED).first()
    if turn is None:
        raise TurnOver(f"turn {turn_id} is over")
    line = branches.path(branches.family(turn.conversation), turn.parent_id)
    return [str(ancestor) for ancestor in line[::-1]]


def _files(conversation_id: UUID) -> ConversationFiles:
    return ConversationFiles(_root() / str(conversation_id))


def _root() -> Path:
    return Path(settings.VAR_DIR) / "workspaces"


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _described(file: _File) -> WorkFile:
    return WorkFile(
        path=file.path,
        num_bytes=file.num_bytes,
        changed_at=datetime.fromtimestamp(file.changed_ns / 1e9, UTC),
        media_type=mimetypes.guess_type(file.path)[0] or PLAIN,
    )


# ---- packing


class _Sink:
    """What an archive has written since it was last asked; it is never asked to go back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing was opened."""

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _packed(archive: zipfile.ZipFile, sink: _Sink, shown: Shown, file: _File) -> Iterator[bytes]:
    try:
        with shown.open(file.path) as (source, _), archive.open(_entry(file), "w") as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)
                yield sink.taken()
    except NoSuchFile:
        return  # it has gone since


def _entry(file: _File) -> zipfile.ZipInfo:
    # Some programs take a backslash, or a colon, for more than a letter of the name.
    name = file.path.replace("\\", "_").replace(":", "_")
    changed = datetime.fromtimestamp(file.changed_ns / 1e9, UTC)
    entry = zipfile.ZipInfo(name, max(changed.timetuple()[:6], EARLIEST_OF_ZIP))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o100755 if file.is_executable else 0o100644) << 16
    return entry
