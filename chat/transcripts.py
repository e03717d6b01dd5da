"""The stored steps and notes of a turn as the loop knows them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import Any, TypeAlias
from uuid import UUID

from agents.tool import ToolResult, ToolUsage, Trust
from agents.transcript import CallRecord, Note, NoteKind, Step, Transcript
from chat.models import Message, Part, ToolRun, Turn
from inference.schema import ChatMessage, ToolCall, Usage
from webapp.billing import estimates

Row: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[int, int]  # step, index


def read(turn: Turn, *, opening: Sequence[ChatMessage] = ()) -> Transcript:
    """The whole of it."""
    transcript = Transcript(opening=tuple(opening))
    runs = {(row["step"], row["index"]): row for row in runs_of(turn.id)}
    fill(transcript, messages_of(turn.id), parts_of(turn.id), runs)
    return transcript


def notes_of(turn_id: UUID, *, but: Set[UUID]) -> list[tuple[UUID, Note]]:
    """The turn's notes that are not among these, with their ids."""
    fresh = [row for row in messages_of(turn_id, role=Message.Role.NOTE) if row["id"] not in but]
    parts = parts_of(turn_id, message_ids=[row["id"] for row in fresh]) if fresh else {}
    return [(row["id"], note_of(row, parts.get(row["id"], []))) for row in fresh]


def messages_of(turn_id: UUID, **where: object) -> list[Row]:
    columns = ("id", "step", "role", "kind", "data", "finish_reason", "duration_ms")
    usage = ("input_uncached_tokens", "input_cached_tokens", "output_tokens", "reasoning_tokens")
    rows = Message.objects.filter(turn=turn_id, **where).order_by("step", "position")
    return list(rows.values(*columns, *usage))


def parts_of(turn_id: UUID, *, message_ids: Iterable[UUID] | None = None) -> dict[UUID, list[Row]]:
    found = Part.objects.filter(message__turn=turn_id)
    if message_ids is not None:
        found = found.filter(message__in=message_ids)
    columns = ("message_id", "kind", "text", "tool_name", "tool_call_id", "is_error")
    parts: dict[UUID, list[Row]] = defaultdict(list)
    for row in found.order_by("message_id", "position").values(*columns):
        parts[row["message_id"]].append(row)
    return parts


def runs_of(turn_id: UUID, **where: object) -> list[Row]:
    """The last edition of each call."""
    columns = ("step", "index", "edition", "call_id", "tool", "arguments", "key", "effect", "state")
    waiting = ("waiting_for", "decision", "answer")
    result = ("trust", "fetched_at", "sandbox_ms", "fetched_bytes", "cost_nano")
    runs = ToolRun.objects.filter(turn=turn_id, **where).exclude(state=ToolRun.State.REPLACED)
    return list(runs.order_by("step", "index", "edition").values(*columns, *waiting, *result))


def usage_of(row: Row) -> Usage:
    return Usage(
        input_uncached_tokens=row["input_uncached_tokens"],
        input_cached_tokens=row["input_cached_tokens"],
        output_tokens=row["output_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
    )


# ---- rows as the loop's types


def fill(
    transcript: Transcript,
    messages: Sequence[Row],
    parts: dict[UUID, list[Row]],
    runs: dict[Place, Row],
) -> list[Row]:
    """Put the stored steps and notes into the transcript: the rows of the replies."""
    replies = []
    records: dict[str, CallRecord] = {}
    for row in messages:
        own = parts.get(row["id"], [])
        if row["role"] == Message.Role.ASSISTANT:
            step = _step(row, own, runs)
            records = {record.call.id: record for record in step.calls}
            transcript.steps.append(step)
            replies.append(row)
        elif row["role"] == Message.Role.TOOL and own and own[0]["tool_call_id"] in records:
            record = records[own[0]["tool_call_id"]]
            index = list(records).index(own[0]["tool_call_id"])
            _add_result(record, row, own[0], runs.get((row["step"], index)))
        elif row["role"] == Message.Role.NOTE:
            transcript.notes.append(note_of(row, own))
    return replies


def _step(row: Row, parts: Sequence[Row], runs: dict[Place, Row]) -> Step:
    calls: list[CallRecord] = []
    for part in parts:
        if part["kind"] == Part.Kind.TOOL_CALL:
            call = ToolCall(id=part["tool_call_id"], name=part["tool_name"], arguments=part["text"])
            run = runs.get((row["step"], len(calls)))
            calls.append(CallRecord(call=call, key=run["key"] if run else ""))
    reasoning = _text(parts, Part.Kind.REASONING)
    content = _text(parts, Part.Kind.TEXT)
    said = "".join([reasoning, content, *(record.call.arguments for record in calls)])
    return Step(
        number=row["step"],
        reasoning=reasoning,
        content=content,
        calls=calls,
        num_tokens=estimates.estimated_tokens(said),
    )


def _text(parts: Sequence[Row], kind: Part.Kind) -> str:
    return next((part["text"] for part in parts if part["kind"] == kind), "")


def _add_result(record: CallRecord, row: Row, part: Row, run: Row | None) -> None:
    record.duration_ms = row["duration_ms"]
    record.num_tokens = estimates.estimated_tokens(part["text"])
    record.result = ToolResult(for_model=part["text"], is_error=part["is_error"])
    if run is not None:
        record.result = ToolResult(
            for_model=part["text"],
            is_error=part["is_error"],
            trust=Trust(run["trust"]) if run["trust"] else Trust.OPERATOR,
            made_at=run["fetched_at"],
            usage=ToolUsage(
                sandbox_ms=run["sandbox_ms"], fetched_bytes=run["fetched_bytes"], cost_nano=run["cost_nano"]
            ),
        )


def note_of(row: Row, parts: Sequence[Row]) -> Note:
    text = _text(parts, Part.Kind.TEXT)
    return Note(step=row["step"], kind=NoteKind(row["kind"]), text=text, data=row["data"])
