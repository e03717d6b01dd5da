"""Where the database leaves a turn: what a worker needs to go on with it as if nothing had happened."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Max

from agents.memory_store import as_left
from agents.steps import loop
from agents.steps.progress import Progress
from agents.tool import (
    Decided,
    Decision,
    Effect,
    Intent,
    IntentState,
    WaitingFor,
)
from agents.transcript import Transcript
from chat import documents, openings, passages, transcripts, warm
from chat.models import Message, ToolRun, Turn
from chat.transcripts import Row
from inference.schema import FinishReason, Usage
from webapp.billing import prices, pricing
from webapp.database_clock import FromNow

LEFT_STATES = (ToolRun.State.INTENDED, ToolRun.State.BEGUN, ToolRun.State.WAITING)


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
    turn = rows.annotate(now=FromNow()).get(id=turn_id)
    began = _began(turn, now=vars(turn)["now"])
    if (kept := warm.shelf.take(turn_id, fence=fence)) is not None:
        progress, known_notes = _caught_up(turn, kept)
    else:
        progress, known_notes = _from_rows(turn)
    progress.began = began
    return Start(
        turn=turn,
        progress=progress,
        rates=prices.rates_of(turn.hold.price) if turn.hold.price else pricing.FREE,
        tenant=str(turn.conversation.user_id),
        known_notes=known_notes,
    )


def _from_rows(turn: Turn) -> tuple[Progress, set[UUID]]:
    messages, parts = transcripts.messages_of(turn.id), transcripts.parts_of(turn.id)
    text = "".join(part["text"] for row in messages if row["step"] == 0 for part in parts[row["id"]])
    opening = openings.messages(turn, text=documents.question(turn, text))
    progress = _progress(turn, Transcript(opening=tuple(opening)), messages, parts)
    return progress, {row["id"] for row in messages if row["role"] == Message.Role.NOTE}


def _caught_up(turn: Turn, kept: warm.Kept) -> tuple[Progress, set[UUID]]:
    """What this process knows of the turn, with the decisions that were made meanwhile. Notes from outside
    are heard before the next step."""
    progress = kept.progress
    progress.pending = [
        _intent(row) for row in transcripts.runs_of(turn.id, step=progress.last_step) if _is_left(row)
    ]
    return progress, kept.known_notes


def _began(turn: Turn, *, now: datetime) -> float:
    """When the turn began, by the monotonic clock, had it never waited. It is `now` by the database's
    clock."""
    elapsed_s = (now - turn.started_at).total_seconds() if turn.started_at else 0.0
    return time.monotonic() - max(elapsed_s - turn.waited_ms / 1000, 0.0)


def _progress(
    turn: Turn, transcript: Transcript, messages: Sequence[Row], parts: dict[UUID, list[Row]]
) -> Progress:
    """Where the stored steps leave the turn: calls to be run, the next model call, or the answer."""
    runs = {(row["step"], row["index"]): row for row in transcripts.runs_of(turn.id)}
    replies = transcripts.fill(transcript, messages, parts, runs)
    last_passage = turn.passages.aggregate(last=Max("number"))["last"]
    progress = Progress(
        transcript=transcript,
        next_step=turn.next_step,
        usage=sum((transcripts.usage_of(row) for row in messages), Usage()),
        last_usage=transcripts.usage_of(replies[-1]) if replies else Usage(),
        num_passages=max(last_passage or 0, passages.last_before(turn)),
    )
    progress.pending = [
        _intent(row) for row in runs.values() if row["step"] == progress.last_step and _is_left(row)
    ]
    has_runs = any(step == progress.last_step for step, _ in runs)
    if replies and not has_runs:
        reason = FinishReason(replies[-1]["finish_reason"])
        progress.ended = loop.end_of(reason, forced=progress.forced_before(progress.last_step))
    return progress


def _is_left(row: Row) -> bool:
    return row["state"] in LEFT_STATES


def _intent(row: Row) -> Intent:
    decided = Decided(decision=Decision(row["decision"]), answer=row["answer"]) if row["decision"] else None
    waiting_for = WaitingFor(row["waiting_for"]) if row["waiting_for"] else None
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
        waiting_for=waiting_for,
        decided=decided,
    )
    return as_left(intent, waiting_for)
