"""The rows of a turn's steps: replies, calls, results and notes, each kept in one transaction that repeats
the worker's fence, in as few statements as there are tables."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Max

from agents.steps.progress import notes_of
from agents.steps.reply import Reply
from agents.tool import Intent, NewArtifact, NewPassage, ToolResult, Waiting
from agents.transcript import Note
from chat import budgets, fence, markdown, rows, transcripts
from chat.models import Artifact, Message, Part, Passage, QueuedMessage, ToolRun, Turn
from chat.rows import Formula, Insert, Update
from inference.schema import Usage
from webapp.database_clock import FromNow

_HEARD: Mapping[str, Any] = {"num_lost": 0, "quota_since": None}  # the model has answered
FIRST_NOTE = 10_000  # position: behind the results of as many calls
TITLE_CHARS, SOURCE_CHARS, NAME_CHARS = 300, 2_000, 200


@dataclass(frozen=True, kw_only=True)
class Held:
    """A turn as its worker holds it; `last_seq` is the number of the last event it has said. With `counts`
    what its calls cost is counted against the budget that it shares."""

    turn: Turn
    fence: int
    last_seq: int
    counts: bool = True

    @property
    def turn_id(self) -> UUID:
        return self.turn.id

    def settled(self, cost_nano: int) -> AbstractContextManager[Mapping[str, Formula]]:
        """As `budgets.settled`."""
        return budgets.settled(self.turn, cost_nano) if self.counts else nullcontext({})


def save_reply(
    held: Held,
    reply: Reply,
    intents: Sequence[Intent],
    *,
    cost_nano: int = 0,
    read: Collection[UUID] = (),
) -> None:
    """Keep a model's reply: its text, its usage, and its calls as intents to be run. What a person said in
    the notes `read` has been heard. Raises TurnLost."""
    message_id = uuid4()
    parts = [
        {"message_id": message_id, "position": position, **part}
        for position, part in enumerate(_parts(reply))
    ]
    writes = (
        Insert(Message, [_reply(held.turn_id, message_id, reply)]),
        Insert(Part, parts),
        Insert(ToolRun, [_run(held.turn_id, intent) for intent in intents]),
    )
    changes = {"next_step": reply.step + 1, "last_seq": held.last_seq, **_HEARD}
    with transaction.atomic() if read else nullcontext(), held.settled(cost_nano) as sums:
        fence.keep(held.turn_id, held.fence, *writes, **changes, **sums)
        if read:
            QueuedMessage.objects.filter(steers=held.turn_id, pk__in=read).delete()


def save_aside(held: Held, reply: Reply, *, cost_nano: int) -> None:
    """Count what a call on the side used, as soon as it is known: nothing that dies afterwards can leave it
    out of the bill or of the budget. Raises TurnLost."""
    with transaction.atomic(), held.settled(cost_nano) as sums:
        fence.keep(held.turn_id, held.fence, last_seq=held.last_seq, **sums)
        step = reply.step - 1
        aside = {**_reply(held.turn_id, uuid4(), reply), "role": Message.Role.ASIDE, "step": step}
        rows.insert(Message, [{**aside, "position": _note_position(held.turn_id, step)}])


def begin(held: Held, intent: Intent) -> None:
    """Note that the call may have an effect outside from here on. Raises TurnLost."""
    begun = Update(ToolRun, _place(held.turn_id, intent), {"state": ToolRun.State.BEGUN})
    fence.keep(held.turn_id, held.fence, begun)


def save_result(
    held: Held,
    intent: Intent,
    result: ToolResult,
    *,
    duration_ms: int,
    first_passage: int,
) -> list[UUID]:
    """Keep what a call brought, and its run as done: the ids of the notes it brought. Raises TurnLost."""
    message_id = uuid4()
    message = {
        "id": message_id,
        "turn_id": held.turn_id,
        "step": intent.step,
        "position": intent.index + 1,
        "role": Message.Role.TOOL,
        "duration_ms": duration_ms,
    }
    writes = (
        Insert(Message, [message]),
        Insert(Part, _result_parts(message_id, intent, result, duration_ms=duration_ms)),
        Update(ToolRun, _place(held.turn_id, intent), _done(result)),
        Insert(Passage, list(_passages(held.turn_id, intent, result, first=first_passage))),
    )
    if not (result.usage.cost_nano or result.artifacts or result.notes):
        fence.keep(held.turn_id, held.fence, *writes, last_seq=held.last_seq)
        return []
    with transaction.atomic():
        fence.keep(held.turn_id, held.fence, last_seq=held.last_seq)
        budgets.spend(held.turn, result.usage.cost_nano)
        rows.write(*writes)
        for artifact in result.artifacts:
            _save_artifact(held.turn_id, intent, artifact)
        return [_insert_note(held.turn_id, note) for note in notes_of(intent, result)]


def save_waiting(held: Held, intent: Intent, waiting: Waiting) -> datetime | None:
    """Keep what a call waits for, and until when. What is kept of the same wait already stays as it is, and
    with it a decision made meanwhile; so does a consent to what then takes its time. Raises TurnLost."""
    with transaction.atomic():
        fence.keep(held.turn_id, held.fence, last_seq=held.last_seq)
        run = ToolRun.objects.filter(**_place(held.turn_id, intent)).annotate(now=FromNow()).get()
        if run.state == ToolRun.State.WAITING and run.waiting_for == waiting.waiting_for:
            return run.expires_at
        expires_at = None
        if waiting.expires_in_s is not None:
            expires_at = run.now + timedelta(seconds=waiting.expires_in_s)
        changes = {
            "state": ToolRun.State.WAITING,
            "waiting_for": str(waiting.waiting_for),
            "prompt": waiting.prompt,
            "expires_at": expires_at,
        }
        if not (waiting.waiting_for.keeps_approval and run.decision == ToolRun.Decision.APPROVED):
            changes |= {"decision": "", "decided_by_id": None, "decided_at": None, "answer": ""}
        rows.update(ToolRun, _place(held.turn_id, intent), changes)
        return expires_at


def save_note(held: Held, note: Note) -> UUID:
    """Keep a note behind what is there of its step: its id. Raises TurnLost."""
    with transaction.atomic():
        fence.keep(held.turn_id, held.fence, last_seq=held.last_seq)
        return _insert_note(held.turn_id, note)


def add_note(turn_id: UUID, note: Note, *, note_id: UUID | None = None) -> None:
    """Put a note down from outside, behind the turn's last step. Call it inside a transaction."""
    turn = Turn.objects.select_for_update().only("next_step").get(id=turn_id)
    at_end = Note(step=turn.next_step - 1, kind=note.kind, text=note.text, data=note.data)
    _insert_note(turn_id, at_end, note_id=note_id)


def hear(held: Held, known: set[UUID], *, step: int) -> list[tuple[UUID, Note]]:
    """The notes that are not among the known ones, with their ids, put behind this step: before it nobody had
    read them. Raises TurnLost."""
    fresh = transcripts.notes_of(held.turn_id, but=known)
    late = [note_id for note_id, note in fresh if note.step < step]
    if late:
        with transaction.atomic():
            fence.keep(held.turn_id, held.fence)
            position = _note_position(held.turn_id, step)
            for at, note_id in enumerate(late, position):
                rows.update(Message, {"id": note_id}, {"step": step, "position": at})
    return [(note_id, replace(note, step=max(note.step, step))) for note_id, note in fresh]


# ---- as rows


def _reply(turn_id: UUID, message_id: UUID, reply: Reply) -> dict[str, Any]:
    return {
        "id": message_id,
        "turn_id": turn_id,
        "step": reply.step,
        "role": Message.Role.ASSISTANT,
        "finish_reason": str(reply.finish_reason),
        "is_estimated": reply.is_estimated,
        "duration_ms": reply.duration_ms,
        **_usage(reply.usage),
    }


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "input_uncached_tokens": usage.input_uncached_tokens,
        "input_cached_tokens": usage.input_cached_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _parts(reply: Reply) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if reply.reasoning:
        parts.append(
            {
                "kind": Part.Kind.REASONING,
                "text": reply.reasoning,
                "num_tokens": reply.reasoning_tokens,
                "duration_ms": reply.reasoning_ms,
            }
        )
    if reply.content:
        html = markdown.render(reply.content)
        parts.append({"kind": Part.Kind.TEXT, "text": reply.content, "html": html})
    parts.extend(
        {
            "kind": Part.Kind.TOOL_CALL,
            "text": call.arguments,
            "tool_name": call.name,
            "tool_call_id": call.id,
        }
        for call in reply.tool_calls
    )
    return parts


def _run(turn_id: UUID, intent: Intent) -> dict[str, Any]:
    return {
        "turn_id": turn_id,
        "step": intent.step,
        "index": intent.index,
        "edition": intent.edition,
        "call_id": intent.call_id,
        "tool": intent.name,
        "arguments": intent.arguments,
        "arguments_sha256": _sha256(intent.arguments),
        "key": intent.key,
        "effect": str(intent.effect),
    }


def _place(turn_id: UUID, intent: Intent) -> Mapping[str, Any]:
    return {"turn_id": turn_id, "step": intent.step, "index": intent.index, "edition": intent.edition}


def _done(result: ToolResult) -> dict[str, Any]:
    return {
        "state": ToolRun.State.DONE,
        "trust": str(result.trust),
        "is_cached": result.is_cached,
        "fetched_at": result.made_at,
        "sandbox_ms": result.usage.sandbox_ms,
        "fetched_bytes": result.usage.fetched_bytes,
        "cost_nano": result.usage.cost_nano,
        "saved_nano": result.saved.cost_nano,
        "saved_ms": result.saved_ms,
    }


def _result_parts(
    message_id: UUID, intent: Intent, result: ToolResult, *, duration_ms: int
) -> list[dict[str, Any]]:
    """What the model reads, and behind it what is shown instead, where that is something else."""
    read = {
        "message_id": message_id,
        "position": 0,
        "kind": Part.Kind.TOOL_RESULT,
        "text": result.for_model,
        "tool_name": intent.name,
        "tool_call_id": intent.call_id,
        "is_error": result.is_error,
        "duration_ms": duration_ms,
    }
    if not result.for_user or result.for_user == result.for_model:
        return [read]
    return [
        read,
        {"message_id": message_id, "position": 1, "kind": Part.Kind.TEXT, "text": result.for_user},
    ]


def _passages(turn_id: UUID, intent: Intent, result: ToolResult, *, first: int) -> list[dict[str, Any]]:
    return [
        _passage(turn_id, intent, result, passage, number)
        for number, passage in enumerate(result.passages, first)
    ]


def _passage(
    turn_id: UUID, intent: Intent, result: ToolResult, passage: NewPassage, number: int
) -> dict[str, Any]:
    return {
        "turn_id": turn_id,
        "number": number,
        "call_id": intent.call_id,
        "source": passage.source[:SOURCE_CHARS],
        "title": passage.title[:TITLE_CHARS],
        "text": passage.text,
        "sha256": _sha256(passage.text),
        "trust": str(result.trust),
        "fetched_at": passage.fetched_at,
    }


def _save_artifact(turn_id: UUID, intent: Intent, artifact: NewArtifact) -> None:
    """A name that the call has used before takes the new text."""
    Artifact.objects.update_or_create(
        turn_id=turn_id,
        call_id=intent.call_id,
        name=artifact.name[:NAME_CHARS],
        defaults={
            "media_type": artifact.media_type,
            "text": artifact.text,
            "sha256": _sha256(artifact.text),
        },
    )


def _insert_note(turn_id: UUID, note: Note, *, note_id: UUID | None = None) -> UUID:
    """Whoever calls it holds the turn's row, so that no two notes take one place."""
    note_id = note_id or uuid4()
    message = {
        "id": note_id,
        "turn_id": turn_id,
        "step": note.step,
        "position": _note_position(turn_id, note.step),
        "role": Message.Role.NOTE,
        "kind": str(note.kind),
        "data": note.data,
    }
    rows.insert(Message, [message])
    if note.text:
        part = {"message_id": note_id, "position": 0, "kind": Part.Kind.TEXT, "text": note.text}
        rows.insert(Part, [part])
    return note_id


def _note_position(turn_id: UUID, step: int) -> int:
    """The next place for a note behind this step."""
    last = Message.objects.filter(turn_id=turn_id, step=step).aggregate(last=Max("position"))["last"]
    return max(FIRST_NOTE, (last or 0) + 1)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
