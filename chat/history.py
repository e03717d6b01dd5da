"""What a conversation holds, read: for the page as views, for the model as messages, for a snapshot as
events. Changes nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from agents import verification
from agents.happenings import NoteAdded
from agents.tool import Trust
from agents.tooling import outgoing
from agents.transcript import Note, NoteKind
from chat import activity, answer_marks, branches, documents, frames, outlines, passages, step_views
from chat.activity import AgentView, Savings
from chat.models import Attachment, Conversation, Message, Part, Passage, ToolRun, Turn
from chat.step_views import StepView
from inference.schema import ChatMessage, Role, ToolCall, Usage
from webapp.billing import pricing
from webapp.billing.models import UsageRecord

STRANGERS = [trust.value for trust in Trust if not trust.is_trusted]


@dataclass(frozen=True, kw_only=True)
class TurnView:
    """A turn as the page shows it. `siblings` are the turns with the same parent, itself among them at
    `index`, oldest first.

    `usage`, `cost` and `currency` are what was billed; before the turn is finished `cost` is None. `passages`
    are those that the answer of a finished turn cites. `known_addresses` are those that no model has made up;
    None: no stranger can have told the model what to write.
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
    agents: list[AgentView]
    savings: Savings
    passages: Mapping[int, Passage]
    known_addresses: frozenset[str] | None = None

    @property
    def is_finished(self) -> bool:
        return self.status == Turn.Status.FINISHED

    @property
    def answer(self) -> str:
        return final_text(self.steps)

    @property
    def attached(self) -> list[Attachment]:
        """The files that came with the question."""
        return [row.attachment for row in self.turn.documents.all() if row.is_new]

    @property
    def notes(self) -> list[Note]:
        """All of them, those from before the first step included."""
        return notes_of(self.turn)

    @property
    def opening_notes(self) -> list[Note]:
        """Those from before the first step."""
        return [note for note in self.notes if note.step == 0]

    @property
    def previous(self) -> UUID | None:
        return self.siblings[self.index - 1] if self.index > 0 else None

    @property
    def next(self) -> UUID | None:
        return self.siblings[self.index + 1] if self.index + 1 < len(self.siblings) else None


def branch(conversation: Conversation) -> list[TurnView]:
    """The turns of the branch on show, first to last."""
    family = branches.family(conversation)
    return stretch(branches.path(family, conversation.current_turn_id), family=family)


def stretch(
    path: Sequence[UUID], *, family: Mapping[UUID, UUID | None], is_outlined: bool = False
) -> list[TurnView]:
    """These turns, which follow each other on a branch; `is_outlined`: as far as a page shows them at
    once."""
    asked = Turn.objects.select_related("model", "conversation", "feedback")
    rest = [*activity.besides_texts(), "documents__attachment"]
    turns = asked.prefetch_related(*rest, *([] if is_outlined else ["messages__parts"])).in_bulk(path)
    if is_outlined:
        outlines.read(list(turns.values()))
    bills = UsageRecord.objects.filter(hold__turn__in=path).in_bulk(field_name="hold_id")
    found = [_view(turns[turn_id], bills.get(turns[turn_id].hold_id), family) for turn_id in path]
    return _with_passages(found)


def turn_view(turn: Turn) -> TurnView:
    family = branches.family(turn.conversation)
    [view] = _with_passages([_view(turn, UsageRecord.objects.filter(hold_id=turn.hold_id).first(), family)])
    return view


def steps_of(turn: Turn, *, with_runs: bool = True) -> tuple[StepView, ...]:
    """The stored steps of a turn, in order; what is known of their calls besides the results only
    `with_runs`."""
    steps: dict[int, list[Message]] = {}
    for message in turn.messages.all():
        if message.step:
            steps.setdefault(message.step, []).append(message)
    runs: dict[int, dict[str, ToolRun]] = {}
    for run in turn.tool_runs.all() if with_runs else ():
        runs.setdefault(run.step, {})[run.call_id] = run  # the newest edition is the last
    notes = notes_of(turn)
    drafts, undone = verification.drafts(notes), _undone(notes)
    return tuple(
        step_views.of_messages(
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
        asked = documents.question(earlier, user_text(earlier))
        messages.append(ChatMessage(role=Role.USER, content=asked))
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
    num_files = Counter(turn.artifacts.values_list("call_id", flat=True))
    for step in steps:
        shown.extend(_step_events(step, num_files))
    return shown


def finished_event(turn: Turn) -> frames.TurnFinished:
    """The last event of a turn that has ended. Reads its messages and nothing else."""
    answer = final_text(steps_of(turn, with_runs=False))
    return frames.TurnFinished(
        finish_reason=turn.finish_reason,
        error=turn.error,
        text_sha256=hashlib.sha256(answer.encode()).hexdigest(),
    )


def _step_events(step: StepView, num_files: Mapping[str, int]) -> Iterator[frames.PlainEvent]:
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
                num_files=num_files.get(call.id, 0),
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
    whole = Turn.objects.prefetch_related("messages__parts", "tool_runs", "documents__attachment")
    turns = whole.in_bulk(path)
    return [turns[turn_id] for turn_id in path]


def _says_something(message: ChatMessage) -> bool:
    return bool(message.content or message.tool_calls)


def _view(turn: Turn, bill: UsageRecord | None, family: Mapping[UUID, UUID | None]) -> TurnView:
    siblings = tuple(turn_id for turn_id, parent_id in family.items() if parent_id == turn.parent_id)
    if turn.spawned_by_id:
        siblings = (turn.id,)
    currency = bill.currency if bill else settings.BILLING_CURRENCY
    return TurnView(
        turn=turn,
        user_text=user_text(turn),
        steps=steps_of(turn),
        status=turn.status,
        finish_reason=turn.finish_reason,
        error=turn.error,
        usage=stored_usage(turn),
        cost=pricing.to_decimal(bill.cost_nano) if bill else None,
        currency=currency,
        model_label=turn.model.label,
        siblings=siblings,
        index=siblings.index(turn.id),
        last_seq=turn.last_seq,
        agents=activity.agents(turn, currency=currency, votes=activity.votes(notes_of(turn))),
        savings=activity.savings(turn),
        passages={},
    )


def _with_passages(views: list[TurnView]) -> list[TurnView]:
    """The views with the passages that their answers cite, in one query for all of them."""
    cited = {view.turn.id: answer_marks.cited(view.answer) for view in views if view.is_finished}
    wanted = Q(
        *[Q(turn=turn, number__in=numbers) for turn, numbers in cited.items() if numbers], _connector=Q.OR
    )
    found: dict[UUID, dict[int, Passage]] = {}
    for passage in Passage.objects.filter(wanted) if wanted else ():
        found.setdefault(passage.turn_id, {})[passage.number] = passage
    known = _known_addresses(views)
    return [
        replace(
            view,
            passages=_with_earlier(view, found.get(view.turn.id, {}), cited.get(view.turn.id, ())),
            known_addresses=known,
        )
        for view in views
    ]


def _known_addresses(views: list[TurnView]) -> frozenset[str] | None:
    """What the person and their sources name, in a conversation that has read text of strangers."""
    conversations = {view.turn.conversation_id for view in views}
    theirs = ToolRun.objects.filter(turn__conversation__in=conversations, trust__in=STRANGERS)
    given = Attachment.objects.filter(conversation__in=conversations)
    is_adopted = any(view.turn.is_adopted for view in views)
    if not is_adopted and not theirs.exists() and not given.exists():
        return None
    sources = Passage.objects.filter(turn__conversation__in=conversations)
    known = set(sources.values_list("source", flat=True).distinct())
    asked = Message.objects.filter(turn__conversation__in=conversations, role=Message.Role.USER)
    asked = asked.filter(turn__is_adopted=False, turn__spawned_by=None)
    own = Part.objects.filter(message__in=asked, text__contains="//")
    known |= {url for text in own.values_list("text", flat=True) for url in outgoing.urls_of(text)}
    return frozenset(map(outgoing.plain, known))


def _with_earlier(view: TurnView, own: dict[int, Passage], cited: Iterable[int]) -> dict[int, Passage]:
    """With those of earlier turns that the answer may cite as well."""
    missing = set(cited) - own.keys()
    if not missing:
        return own
    return {one.number: one for one in passages.visible(view.turn).filter(number__in=missing)} | own
