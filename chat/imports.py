"""Files that hold conversations of elsewhere, or of here, as snapshots: our own export, ChatGPT's, Claude's.

One conversation at a time: one that cannot be read is said so, and keeps none of the others out. What it
holds is a stranger's text: it is shown as any answer is, and is told the model as an earlier one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.utils import timezone
from django.utils.translation import gettext as _

from chat.snapshots import FORMAT, VERSION, Exchange, Snapshot

MAX_BYTES = 32 * 2**20
MAX_CONVERSATIONS = 2_000
MAX_EXCHANGES = 1_000
MAX_CHARS = 200_000  # of one question or answer


class NotAnExport(Exception):
    """The file is none that this module knows."""


class Unreadable(Exception):
    """One conversation of a file cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A conversation of the file; `snapshot` is None where it cannot be read, and `fault` says why."""

    title: str
    snapshot: Snapshot | None
    fault: str = ""


def read(content: bytes) -> Iterator[Found]:
    """What the file holds, in its order. Raises NotAnExport at the first."""
    try:
        whole = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAnExport from None
    rows = whole if isinstance(whole, list) else [whole]
    if not rows or not all(isinstance(row, dict) for row in rows) or not any(map(_is_known, rows)):
        raise NotAnExport
    for row in rows[:MAX_CONVERSATIONS]:
        title = str(row.get("title") or row.get("name") or "")[:200]
        try:
            yield Found(title=title, snapshot=_checked(_snapshot(row, title)))
        except Unreadable as error:
            yield Found(title=title, snapshot=None, fault=str(error))
        except (
            msgspec.ValidationError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
            OSError,
        ):
            yield Found(title=title, snapshot=None, fault=_("its parts are not where they should be"))


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
