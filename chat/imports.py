"""Files that hold conversations of elsewhere, or of here, as snapshots: our own export, ChatGPT's, Claude's.

One conversation at a time, however long the file: one that cannot be read is said so, and keeps none of the
others out. What it holds is a stranger's text: it is shown as any answer is, and is told the model as an
earlier one.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import IO, Any

import ijson
import msgspec
from django.utils import timezone
from django.utils.translation import gettext as _

from chat.snapshots import FORMAT, VERSION, Exchange, Snapshot

MAX_BYTES = 256 * 2**20
MAX_CONVERSATIONS = 2_000  # made of one file; the same file again goes on behind them
DEEPEST = 100  # of lists and objects in each other
BEGINS, ENDS = ("start_map", "start_array"), ("end_map", "end_array")
SEARCHED = 1_000  # bytes in which the file begins
MAX_EXCHANGES = 1_000
MAX_CHARS = 200_000  # of one question or answer


class NotAnExport(Exception):
    """The file is none that this module knows."""


class BrokenOff(Exception):
    """The file ends, or is no JSON any more, behind what was read."""


class Unreadable(Exception):
    """One conversation of a file cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A conversation of the file; `snapshot` is None where it cannot be read, and `fault` says why. `origin`
    is the same whenever the same conversation is read."""

    title: str
    snapshot: Snapshot | None
    fault: str = ""
    origin: str = ""


def read(file: IO[bytes]) -> Iterator[Found]:
    """What the file holds, in its order. Raises NotAnExport at the first, BrokenOff behind it."""
    rows = _rows(file)
    try:
        first = next(rows, None)
    except BrokenOff:
        raise NotAnExport from None
    if not isinstance(first, dict) or not _is_known(first):
        raise NotAnExport
    for row in chain([first], rows):
        yield _found(row if isinstance(row, dict) else {})


def _rows(file: IO[bytes]) -> Iterator[Any]:
    """The members of the list that the file is, one by one; or the one thing that it is."""
    is_list = file.read(SEARCHED).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    file.seek(0)
    outside, depth, builder = int(is_list), 0, ijson.ObjectBuilder()
    try:
        for event, value in ijson.basic_parse(file, use_float=True):
            depth += (event in BEGINS) - (event in ENDS)
            if depth > DEEPEST:
                raise BrokenOff
            if is_list and (depth, event) in ((1, "start_array"), (0, "end_array")):
                continue  # the list itself
            builder.event(event, value)
            if depth == outside:
                yield builder.value
                builder = ijson.ObjectBuilder()
    except (ijson.JSONError, UnicodeDecodeError):
        raise BrokenOff from None


def _found(row: dict[str, Any]) -> Found:
    title = str(row.get("title") or row.get("name") or "")[:200]
    try:
        return Found(title=title, snapshot=_checked(_snapshot(row, title)), origin=_origin(row))
    except Unreadable as error:
        return Found(title=title, snapshot=None, fault=str(error))
    except (
        msgspec.ValidationError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        OSError,
    ):
        return Found(title=title, snapshot=None, fault=_("its parts are not where they should be"))


def _origin(row: dict[str, Any]) -> str:
    """By the id that it has where it comes from; without one by all that it says."""
    named = row.get("conversation_id") or row.get("uuid") or row.get("id")
    said = str(named).encode() if named else msgspec.json.encode(row, order="deterministic")
    return hashlib.sha256(said).hexdigest()


def _is_known(row: dict[str, Any]) -> bool:
    return row.get("format") == FORMAT or "mapping" in row or "chat_messages" in row


def _snapshot(row: dict[str, Any], title: str) -> Snapshot:
    if row.get("format") == FORMAT:
        if row.get("version") != VERSION:
            raise Unreadable(_("its version is another than %(version)d") % {"version": VERSION})
        return msgspec.convert(row, type=Snapshot)
    said = list(_of_chatgpt(row) if "mapping" in row else _of_claude(row))
    return Snapshot(title=title, made_at=timezone.now(), exchanges=tuple(_pairs(said)))


@dataclass(frozen=True, kw_only=True)
class _Said:
    is_question: bool
    text: str
    model: str
    at: datetime


def _of_chatgpt(row: dict[str, Any]) -> Iterator[_Said]:
    """The branch that ends in `current_node`, first to last."""
    nodes, at = row["mapping"], row["current_node"]
    way: list[dict[str, Any]] = []
    seen: set[str] = set()
    while at is not None and at not in seen:
        seen.add(at)
        way.append(nodes[at])
        at = nodes[at].get("parent")
    for node in reversed(way):
        message = node.get("message") or {}
        role = (message.get("author") or {}).get("role")
        parts = (message.get("content") or {}).get("parts") or []
        text = "\n\n".join(part for part in parts if isinstance(part, str) and part)
        is_for_all = message.get("recipient") in (None, "all")
        if role in ("user", "assistant") and text and is_for_all:
            model = str((message.get("metadata") or {}).get("model_slug") or "ChatGPT")
            at_s = message.get("create_time") or row.get("create_time") or 0
            yield _Said(
                is_question=role == "user", text=text, model=model, at=datetime.fromtimestamp(at_s, UTC)
            )


def _of_claude(row: dict[str, Any]) -> Iterator[_Said]:
    for message in row["chat_messages"]:
        blocks = [b.get("text") for b in message.get("content") or () if b.get("type") == "text"]
        text = "\n\n".join(filter(None, blocks)) or str(message.get("text") or "")
        if text:
            at = datetime.fromisoformat(message["created_at"])
            yield _Said(is_question=message["sender"] == "human", text=text, model="Claude", at=at)


def _pairs(said: list[_Said]) -> Iterator[Exchange]:
    """Each question with all that answers it."""
    question, answers = None, []
    for one in [*said, None]:
        if one is not None and not one.is_question:
            answers.append(one)
            continue
        if question is not None or answers:
            first = question or answers[0]
            yield Exchange(
                question=question.text if question else "",
                answer="\n\n".join(answer.text for answer in answers),
                model=answers[0].model if answers else "",
                asked_at=first.at,
            )
        question, answers = one, []


def _checked(snapshot: Snapshot) -> Snapshot:
    """The snapshot with what no database takes taken out. Raises Unreadable."""
    if not snapshot.exchanges:
        raise Unreadable(_("it holds no message"))
    if len(snapshot.exchanges) > MAX_EXCHANGES:
        raise Unreadable(_("it has more than %(most)d questions") % {"most": MAX_EXCHANGES})
    clean = tuple(
        msgspec.structs.replace(
            one,
            question=_fit(one.question),
            answer=_fit(one.answer),
            reasoning=_fit(one.reasoning),
            thought_ms=min(max(one.thought_ms, 0), 10**9),
            sources=(),
        )
        for one in snapshot.exchanges
    )
    return msgspec.structs.replace(snapshot, title=_fit(snapshot.title)[:200], exchanges=clean)


def _fit(text: str) -> str:
    if len(text) > MAX_CHARS:
        raise Unreadable(_("a message is longer than %(most)d characters") % {"most": MAX_CHARS})
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
