"""What a conversation holds, read: for the page as views, for the model as messages, for a snapshot as
events. Changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.utils.translation import gettext as _

from agents import verification
from agents.happenings import NoteAdded
from agents.transcript import Note, NoteKind
from chat import activity, branches, frames
from chat.models import Conversation, Message, Part, ToolRun, Turn
from inference.schema import ChatMessage, Role, ToolCall, Usage
from webapp.billing import pricing
from webapp.billing.models import UsageRecord


@dataclass(frozen=True, kw_only=True)
class ToolCallView:
    """`result` is None while the call runs or waits. `decision` is what a person said to it."""

    id: str
    name: str
    arguments: str
    result: str | None
    is_error: bool
    duration_ms: int
    is_cached: bool = False
    is_waiting: bool = False
    decision: str = ""
    is_edited: bool = False


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One model call, its tool calls and what the platform noted behind them. `num_tokens` and `duration_ms`
    are the reasoning's. What a draft or an undone step says is no part of the answer."""

    number: int
    reasoning: str
    reasoning_html: str
    num_tokens: int
    duration_ms: int
    content: str
    content_html: str
    tool_calls: tuple[ToolCallView, ...]
    finish_reason: str
    at: datetime
    notes: tuple[Note, ...] = ()
    is_draft: bool = False
    is_undone: bool = False


@dataclass(frozen=True, kw_only=True)
class TurnView:
    """A turn as the page shows it. `siblings` are the turns with the same parent, itself among them at
    `index`, oldest first.

    `usage`, `cost` and `currency` are what was billed; before the turn is finished `cost` is None.
    """

    turn: Turn
    user_text: str
    steps: tuple[StepView, ...]
    status: str
    finish_reason: str
    error: str
    usage: Usage
    cost: Decimal | None
    currency: str
    model_label: str
    siblings: tuple[UUID, ...]
    index: int
    last_seq: int

    @property
    def is_finished(self) -> bool:
        return self.status == Turn.Status.FINISHED

    @property
    def answer(self) -> str:
        return final_text(self.steps)

    @property
    def notes(self) -> list[Note]:
        """All of them, those from before the first step included."""
        return notes_of(self.turn)

    @property
    def previous(self) -> UUID | None:
        return self.siblings[self.index - 1] if self.index > 0 else None

    @property
    def next(self) -> UUID | None:
        return self.siblings[self.index + 1] if self.index + 1 < len(self.siblings) else None


def branch(conversation: Conversation) -> list[TurnView]:
    """The turns of the branch on show, first to last."""
    family = branches.family(conversation)
    path = branches.path(family, conversation.current_turn_id)
    turns = Turn.objects.select_related("model").prefetch_related(*activity.prefetches()).in_bulk(path)
    bills = UsageRecord.objects.filter(hold__turn__in=path).in_bulk(field_name="hold_id")
    return [_view(turns[turn_id], bills.get(turns[turn_id].hold_id), family) for turn_id in path]


def turn_view(turn: Turn) -> TurnView:
    family = branches.family(turn.conversation)
    return _view(turn, UsageRecord.objects.filter(hold_id=turn.hold_id).first(), family)


def steps_of(turn: Turn) -> tuple[StepView, ...]:
    """The stored steps of a turn, in order."""
    steps: dict[int, list[Message]] = {}
    for message in turn.messages.all():
        if message.step:
            steps.setdefault(message.step, []).append(message)
    runs: dict[int, dict[str, ToolRun]] = {}
    for run in turn.tool_runs.all():
        runs.setdefault(run.step, {})[run.call_id] = run  # the newest edition is the last
    notes = notes_of(turn)
    drafts, undone = verification.drafts(notes), _undone(notes)
    return tuple(
        _step(
            messages,
            turn,
            runs=runs.get(number, {}),
            notes=tuple(note for note in notes if note.step == number),
            is_draft=number in drafts,
            is_undone=number in undone,
        )
        for number, messages in sorted(steps.items())
    )


def notes_of(turn: Turn) -> list[Note]:
    """What the platform noted, in the order it happened."""
    return [
        Note(
            step=message.step,
            kind=NoteKind(message.kind),
            text="".join(part.text for part in message.parts.all()),
            data=message.data,
        )
        for message in turn.messages.all()
        if message.role == Message.Role.NOTE
    ]


def final_text(steps: Iterable[StepView]) -> str:
    """The answer: the content of every step, joined, but for what was sent back or undone."""
    return "".join(step.content for step in steps if not step.is_draft and not step.is_undone)


def _undone(notes: Sequence[Note]) -> frozenset[int]:
    """The steps that the model went back to before."""
    backs = (note for note in notes if note.kind is NoteKind.ROLLBACK)
    return frozenset(step for note in backs for step in range(note.data["to_step"] + 1, note.step + 1))


def user_text(turn: Turn) -> str:
    return "".join(
        part.text
        for message in turn.messages.all()
        if message.role == Message.Role.USER
        for part in message.parts.all()
    )


def request_messages(turn: Turn, *, text: str) -> list[ChatMessage]:
    """What the model is told before the first step of a turn that asks `text`: its system prompt, the earlier
    turns of the branch, the text. An agent sees no earlier turns, only what its role adds and its task.

    Earlier turns come without their reasoning, without what was sent back or undone. A call without a result
    is paired with one that says so.
    """
    messages = []
    if system := "\n\n".join(filter(None, (turn.model.system_prompt, turn.instructions))):
        messages.append(ChatMessage(role=Role.SYSTEM, content=system))
    for earlier in [] if turn.spawned_by_id else _ancestors(turn):
        kept = (step for step in steps_of(earlier) if not step.is_draft and not step.is_undone)
        messages.append(ChatMessage(role=Role.USER, content=user_text(earlier)))
        messages.extend(step_messages(kept, with_reasoning=False))
    messages.append(ChatMessage(role=Role.USER, content=text))
    return messages


def step_messages(steps: Iterable[StepView], *, with_reasoning: bool) -> list[ChatMessage]:
    """Stored steps as the model wrote them, each call followed by its result."""
    messages = []
    for step in steps:
        messages.append(
            ChatMessage(
                role=Role.ASSISTANT,
                content=step.content,
                reasoning=step.reasoning if with_reasoning else "",
                tool_calls=tuple(
                    ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in step.tool_calls
                ),
            )
        )
        messages.extend(
            ChatMessage(role=Role.TOOL, content=call.result or "", tool_call_id=call.id, name=call.name)
            for call in step.tool_calls
        )
    return [message for message in messages if message.role is Role.TOOL or _says_something(message)]


def stored_events(turn: Turn) -> list[frames.PlainEvent]:
    """The events that show what is stored of the turn: what it waits for, or its end, included."""
    shown = shown_events(turn, steps_of(turn))
    if (waiting := activity.waiting_event(turn)) is not None:
        shown.append(waiting)
    if turn.status == Turn.Status.FINISHED:
        shown.append(finished_event(turn))
    return shown


def shown_events(turn: Turn, steps: Iterable[StepView]) -> list[frames.PlainEvent]:
    """The events that show a turn and these steps of it, without its end."""
    shown: list[frames.PlainEvent] = []
    if turn.started_at:
        shown.append(frames.TurnStarted(at_ms=_ms(turn.started_at)))
    shown.extend(activity.events(turn))
    shown.extend(_note_event(note) for note in notes_of(turn) if note.step == 0)
    for step in steps:
        shown.extend(_step_events(step))
    return shown


def finished_event(turn: Turn) -> frames.TurnFinished:
    """The last event of a turn that has ended."""
    answer = final_text(steps_of(turn))
    return frames.TurnFinished(
        finish_reason=turn.finish_reason,
        error=turn.error,
        text_sha256=hashlib.sha256(answer.encode()).hexdigest(),
    )


def _step_events(step: StepView) -> Iterator[frames.PlainEvent]:
    yield frames.StepStarted(step=step.number, at_ms=_ms(step.at))
    if step.reasoning:
        yield frames.ReasoningPiece(step=step.number, text=step.reasoning)
        yield frames.ReasoningFinished(
            step=step.number, duration_ms=step.duration_ms, num_tokens=step.num_tokens
        )
    if step.content:
        yield frames.ContentPiece(step=step.number, text=step.content)
    for call in step.tool_calls:
        yield frames.ToolCallStarted(step=step.number, id=call.id, name=call.name, arguments=call.arguments)
    for call in step.tool_calls:
        if call.result is not None:
            yield frames.ToolCallFinished(
                step=step.number,
                id=call.id,
                result=call.result,
                is_error=call.is_error,
                duration_ms=call.duration_ms,
                is_cached=call.is_cached,
            )
    for note in step.notes:
        yield _note_event(note)


def _note_event(note: Note) -> NoteAdded:
    return NoteAdded(step=note.step, kind=str(note.kind), text=note.text, data=note.data)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def stored_usage(turn: Turn) -> Usage:
    """The sum over the stored replies: what the turn is billed for."""
    return sum((usage_of(message) for message in turn.messages.all()), Usage())


def usage_of(message: Message) -> Usage:
    return Usage(
        input_uncached_tokens=message.input_uncached_tokens,
        input_cached_tokens=message.input_cached_tokens,
        output_tokens=message.output_tokens,
        reasoning_tokens=message.reasoning_tokens,
    )


def _ancestors(turn: Turn) -> list[Turn]:
    path = branches.path(branches.family(turn.conversation), turn.parent_id)
    turns = Turn.objects.prefetch_related("messages__parts", "tool_runs").in_bulk(path)
    return [turns[turn_id] for turn_id in path]


def _says_something(message: ChatMessage) -> bool:
    return bool(message.content or message.tool_calls)


def _view(turn: Turn, bill: UsageRecord | None, family: Mapping[UUID, UUID | None]) -> TurnView:
    siblings = tuple(turn_id for turn_id, parent_id in family.items() if parent_id == turn.parent_id)
    if turn.spawned_by_id:
        siblings = (turn.id,)
    return TurnView(
        turn=turn,
        user_text=user_text(turn),
        steps=steps_of(turn),
        status=turn.status,
        finish_reason=turn.finish_reason,
        error=turn.error,
        usage=stored_usage(turn),
        cost=pricing.to_decimal(bill.cost_nano) if bill else None,
        currency=bill.currency if bill else "",
        model_label=turn.model.label,
        siblings=siblings,
        index=siblings.index(turn.id),
        last_seq=turn.last_seq,
    )


def _step(
    messages: list[Message],
    turn: Turn,
    *,
    runs: Mapping[str, ToolRun],
    notes: tuple[Note, ...],
    is_draft: bool,
    is_undone: bool,
) -> StepView:
    reply = messages[0]
    parts = list(reply.parts.all()) if reply.role == Message.Role.ASSISTANT else []
    reasoning = _part(parts, Part.Kind.REASONING)
    content = _part(parts, Part.Kind.TEXT)
    results = {
        part.tool_call_id: part
        for message in messages[1:]
        if message.role == Message.Role.TOOL
        for part in message.parts.all()
    }
    is_over = turn.status == Turn.Status.FINISHED
    return StepView(
        number=reply.step,
        reasoning=reasoning.text,
        reasoning_html=reasoning.html,
        num_tokens=reasoning.num_tokens,
        duration_ms=reasoning.duration_ms,
        content=content.text,
        content_html=content.html,
        tool_calls=tuple(_calls(parts, results, runs, is_over=is_over)),
        finish_reason=reply.finish_reason,
        at=reply.created_at,
        notes=notes,
        is_draft=is_draft,
        is_undone=is_undone,
    )


def _part(parts: list[Part], kind: Part.Kind) -> Part:
    return next((part for part in parts if part.kind == kind), Part(kind=kind))


def _calls(
    parts: list[Part], results: dict[str, Part], runs: Mapping[str, ToolRun], *, is_over: bool
) -> Iterable[ToolCallView]:
    for part in parts:
        if part.kind != Part.Kind.TOOL_CALL:
            continue
        result = results.get(part.tool_call_id)
        run = runs.get(part.tool_call_id)
        missing = _("Stopped before it had a result.") if is_over else None
        yield ToolCallView(
            id=part.tool_call_id,
            name=part.tool_name,
            arguments=part.text,
            result=result.text if result else missing,
            is_error=result.is_error if result else is_over,
            duration_ms=result.duration_ms if result else 0,
            is_cached=run is not None and run.is_cached,
            is_waiting=run is not None and not is_over and run.state == ToolRun.State.WAITING,
            decision=run.decision if run else "",
            is_edited=run is not None and run.edition > 0,
        )
