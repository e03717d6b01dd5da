"""A turn as a log that shows tampering: every row of it and of its agents, in an order that never changes.

Made from rows alone, so that a turn that is over gives the same bytes each time.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import models

from agents import audit
from agents.audit import Record
from chat.models import Turn
from webapp.billing.models import UsageRecord

# What the platform needs to drive a turn tells nothing of what happened in it.
_DRIVING = frozenset({"fence", "lease_until", "wake_at", "heard", "last_seq", "waiting_for", "parked_at"})
_LIMITS = "max_"
# Long texts that a hash stands for, and HTML that is made from the text.
_LEFT_OUT = {"part": {"id", "message", "html"}, "passage": {"text"}, "artifact": {"text"}}


def export(turn: Turn) -> Iterator[str]:
    """The lines of the turn's log, without line ends."""
    return audit.export(_records(turn))


def _records(turn: Turn) -> Iterator[Record]:
    """The turn, then its agents, each behind those that began before it."""
    whole = Turn.objects.select_related("model", "conversation__user").get(id=turn.id)
    yield from _about(whole)
    yield from _messages(whole)
    yield from _rows(
        "tool_run", whole.tool_runs.select_related("decided_by").order_by("step", "index", "edition")
    )
    yield from _rows("plan_item", whole.plan_items.order_by("position"))
    yield from _rows("fact", whole.facts.order_by("id"))
    yield from _rows("document", whole.documents.order_by("position"))
    yield from _attachments(whole)
    yield from _rows("passage", whole.passages.order_by("number"))
    yield from _rows("artifact", whole.artifacts.order_by("created_at", "id"))
    yield from _rows("usage", UsageRecord.objects.filter(hold_id=whole.hold_id).order_by("pk"))
    for agent in whole.agents.order_by("created_at", "id"):
        yield from _records(agent)


def _about(turn: Turn) -> Iterator[Record]:
    row = {name: value for name, value in _row(turn).items() if name not in _DRIVING}
    limits = {name: row.pop(name) for name in list(row) if name.startswith(_LIMITS)}
    names = {"user": turn.conversation.user.get_username(), "model_name": turn.model.name}
    yield Record(kind="turn", data={**row, **names})
    yield Record(kind="limits", data={"turn": str(turn.id), **limits})


def _attachments(turn: Turn) -> Iterator[Record]:
    """What was attached to its question; the digest stands for the file."""
    names = ("id", "name", "media_type", "num_bytes", "sha256", "state", "fault", "notes", "num_parts")
    for row in turn.documents.select_related("attachment").order_by("position"):
        about = {name: getattr(row.attachment, name) for name in names}
        yield Record(kind="attachment", data={name: _plain(value) for name, value in about.items()})


def _messages(turn: Turn) -> Iterator[Record]:
    for message in turn.messages.prefetch_related("parts").order_by("step", "position"):
        parts = [_without(_row(part), "part") for part in message.parts.all()]
        yield Record(kind="message", data={**_row(message), "parts": parts})


def _rows(kind: str, rows: Iterable[models.Model]) -> Iterator[Record]:
    for row in rows:
        data = _without(_row(row), kind)
        if (person := getattr(row, "decided_by", None)) is not None:
            data["decided_by_name"] = person.get_username()
        yield Record(kind=kind, data=data)


def _without(data: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in _LEFT_OUT.get(kind, ())}


def _row(row: models.Model) -> dict[str, Any]:
    """Every column, so that one added tomorrow is in the log, too."""
    return {field.name: _plain(field.value_from_object(row)) for field in row._meta.concrete_fields}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    return value
