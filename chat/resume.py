"""Where the database leaves a turn: what a worker needs to go on with it as if nothing had happened."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from django.db.models import Max
from django.utils import timezone

from agents import loop
from agents.memory_store import as_left
from agents.progress import Progress
from agents.tool import (
    Decided,
    Decision,
    Effect,
    Intent,
    IntentState,
    ToolResult,
    ToolUsage,
    Trust,
    WaitingFor,
)
from agents.transcript import CallRecord, Note, NoteKind, Step, Transcript
from chat import history, warm
from chat.models import Message, Part, ToolRun, Turn
from inference.schema import FinishReason, ToolCall, Usage
from webapp.billing import estimates, prices, pricing

LEFT_STATES = (ToolRun.State.INTENDED, ToolRun.State.BEGUN, ToolRun.State.WAITING)

Row: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[int, int]  # step, index


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the database knows of a turn when a segment begins. `known_notes` are the ids of its notes."""

    turn: Turn
    progress: Progress
    rates: pricing.Rates
    tenant: str
    known_notes: set[UUID]


def load(turn_id: UUID, *, fence: int) -> Start:
    """What to go on from. Raises Turn.DoesNotExist when the turn was deleted."""
    rows = Turn.objects.select_related("model", "conversation__user", "hold__price", "hold__account")
    turn = rows.get(id=turn_id)
    if (kept := warm.shelf.take(turn_id, fence=fence)) is not None:
        progress, known_notes = _caught_up(turn, kept)
    else:
        progress, known_notes = _from_rows(turn)
    return Start(
        turn=turn,
        progress=progress,
        rates=prices.rates_of(turn.hold.price) if turn.hold.price else pricing.FREE,
        tenant=str(turn.conversation.user_id),
        known_notes=known_notes,
    )


def _from_rows(turn: Turn) -> tuple[Progress, set[UUID]]:
    messages, parts = _messages(turn.id), _parts(turn.id)
    text = "".join(part["text"] for row in messages if row["step"] == 0 for part in parts[row["id"]])
    opening = history.request_messages(turn, text=text)
    progress = _progress(turn, Transcript(opening=tuple(opening)), messages, parts)
    return progress, {row["id"] for row in messages if row["role"] == Message.Role.NOTE}


def _caught_up(turn: Turn, kept: warm.Kept) -> tuple[Progress, set[UUID]]:
    """What this process knows of the turn, with what others have written meanwhile: notes and decisions."""
    progress, known_notes = kept.progress, kept.known_notes
    for note_id, note in notes_since(turn.id, known_notes):
        progress.take_note(note)
        known_notes.add(note_id)
    progress.began = _began(turn)
    progress.pending = [_intent(row) for row in _runs(turn.id, step=progress.last_step) if _is_left(row)]
    return progress, known_notes


def _began(turn: Turn) -> float:
    """When the turn began, by the monotonic clock, had it never waited."""
    elapsed_s = (timezone.now() - turn.started_at).total_seconds() if turn.started_at else 0.0
    return time.monotonic() - max(elapsed_s - turn.waited_ms / 1000, 0.0)


def transcript_of(turn: Turn, *, opening: Sequence[Any] = ()) -> Transcript:
    """The stored steps and notes of a turn."""
    transcript = Transcript(opening=tuple(opening))
    runs = {(row["step"], row["index"]): row for row in _runs(turn.id)}
    _fill(transcript, _messages(turn.id), _parts(turn.id), runs)
    return transcript


def notes_since(turn_id: UUID, known: set[UUID]) -> list[tuple[UUID, Note]]:
    """The notes of the turn that are not among these, with their ids."""
    rows = _messages(turn_id, role=Message.Role.NOTE)
    fresh = [row for row in rows if row["id"] not in known]
    parts = _parts(turn_id, message_ids=[row["id"] for row in fresh]) if fresh else {}
    return [(row["id"], _note(row, parts.get(row["id"], []))) for row in fresh]


def _progress(
    turn: Turn, transcript: Transcript, messages: Sequence[Row], parts: dict[UUID, list[Row]]
) -> Progress:
    """Where the stored steps leave the turn: calls to be run, the next model call, or the answer."""
    runs = {(row["step"], row["index"]): row for row in _runs(turn.id)}
    replies = _fill(transcript, messages, parts, runs)
    last_passage = turn.passages.aggregate(last=Max("number"))["last"]
    progress = Progress(
        transcript=transcript,
        next_step=turn.next_step,
        usage=sum((_usage(row) for row in messages), Usage()),
        last_usage=_usage(replies[-1]) if replies else Usage(),
        began=_began(turn),
        num_passages=last_passage or 0,
    )
    progress.pending = [
        _intent(row) for row in runs.values() if row["step"] == progress.last_step and _is_left(row)
    ]
    has_runs = any(step == progress.last_step for step, _ in runs)
    if replies and not has_runs:
        reason = FinishReason(replies[-1]["finish_reason"])
        progress.ended = loop.end_of(reason, forced=progress.forced_before(progress.last_step))
    return progress


# ---- the rows


def _messages(turn_id: UUID, **where: object) -> list[Row]:
    columns = ("id", "step", "role", "kind", "data", "finish_reason", "duration_ms")
    usage = ("input_uncached_tokens", "input_cached_tokens", "output_tokens", "reasoning_tokens")
    rows = Message.objects.filter(turn=turn_id, **where).order_by("step", "position")
    return list(rows.values(*columns, *usage))


def _parts(turn_id: UUID, *, message_ids: Iterable[UUID] | None = None) -> dict[UUID, list[Row]]:
    found = Part.objects.filter(message__turn=turn_id)
    if message_ids is not None:
        found = found.filter(message__in=message_ids)
    columns = ("message_id", "kind", "text", "tool_name", "tool_call_id", "is_error")
    parts: dict[UUID, list[Row]] = defaultdict(list)
    for row in found.order_by("message_id", "position").values(*columns):
        parts[row["message_id"]].append(row)
    return parts


def _runs(turn_id: UUID, **where: object) -> list[Row]:
    """The last edition of each call."""
    columns = ("step", "index", "edition", "call_id", "tool", "arguments", "key", "effect", "state")
    waiting = ("waiting_for", "decision", "answer")
    result = ("trust", "fetched_at", "sandbox_ms", "fetched_bytes", "cost_nano")
    runs = ToolRun.objects.filter(turn=turn_id, **where).exclude(state=ToolRun.State.REPLACED)
    return list(runs.order_by("step", "index", "edition").values(*columns, *waiting, *result))


def _is_left(row: Row) -> bool:
    return row["state"] in LEFT_STATES


def _usage(row: Row) -> Usage:
    return Usage(
        input_uncached_tokens=row["input_uncached_tokens"],
        input_cached_tokens=row["input_cached_tokens"],
        output_tokens=row["output_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
    )


# ---- rows as the loop's types


def _fill(
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
            transcript.notes.append(_note(row, own))
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


def _note(row: Row, parts: Sequence[Row]) -> Note:
    text = _text(parts, Part.Kind.TEXT)
    return Note(step=row["step"], kind=NoteKind(row["kind"]), text=text, data=row["data"], usage=_usage(row))


def _intent(row: Row) -> Intent:
    decided = Decided(decision=Decision(row["decision"]), answer=row["answer"]) if row["decision"] else None
    intent = Intent(
        step=row["step"],
        index=row["index"],
        call_id=row["call_id"],
        name=row["tool"],
        arguments=row["arguments"],
        key=row["key"],
        effect=Effect(row["effect"]),
        state=IntentState(row["state"]),
        edition=row["edition"],
        decided=decided,
    )
    return as_left(intent, WaitingFor(row["waiting_for"]) if row["waiting_for"] else None)
