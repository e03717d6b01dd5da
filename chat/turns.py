"""Every change of a turn's state, one function and one transaction each. Reads no clock but the database's.

A worker's writes repeat its fence: a write that changes no row raises TurnLost, and the worker stops at once.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Model, Prefetch, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from agents.limits import Limit, Limits
from agents.steps.progress import Parked
from agents.tool import WaitingFor
from agents.transcript import Note
from chat import bills, budgets, documents, doorbell, endings, fairness, openings, search_index, step_rows
from chat import fence as fences
from chat.documents import Shown
from chat.fence import TurnLost as TurnLost
from chat.models import Artifact, Conversation, Fact, Message, Part, Passage, PlanItem, Preset, ToolRun, Turn
from inference.schema import FinishReason, ToolSpec, Usage
from webapp.accounts.models import ApiKey, User
from webapp.billing import estimates, holds, limits
from webapp.catalog.models import ServedModel
from webapp.database_clock import FromNow

logger = logging.getLogger(__name__)

RING_AGAIN_S = 3
SPARE_S = 3_600  # that a hold outlives the turn's time limit
PLACE_S = 300  # that a turn has its place among its user's turns, unless it is kept
TITLE_CHARS = 60
ERROR_CHARS = 500


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a person asks for: everything of a turn that is known before it begins."""

    text: str
    model: ServedModel
    client_id: UUID
    long_thinking: bool
    effort: str
    limits: Limits
    team: str = ""
    plan_needs_approval: bool = False
    tool_terms: Mapping[str, Any] = field(default_factory=dict)
    continues: Turn | None = None
    documents: tuple[Shown, ...] = ()
    instructions: str = ""
    is_temporary: bool = False
    preset: Preset | None = None
    api_key: ApiKey | None = None


def open_conversation(
    user: User,
    *,
    conversation_id: UUID,
    text: str,
    ends_at: datetime | None = None,
    preset: Preset | None = None,
) -> Conversation:
    """A conversation titled by the first words of its first message; a temporary one has no title."""
    if ends_at is not None:
        return Conversation.objects.create(id=conversation_id, user=user, ends_at=ends_at, preset=preset)
    words = " ".join(text.split())
    title = words if len(words) <= TITLE_CHARS else f"{words[: TITLE_CHARS - 1].rsplit(' ', 1)[0]}…"
    conversation = Conversation.objects.create(id=conversation_id, user=user, title=title, preset=preset)
    search_index.keep_title(conversation)
    return conversation


def start(
    conversation: Conversation, question: Question, *, parent: Turn | None, tools: tuple[ToolSpec, ...]
) -> Turn:
    """A queued turn with its user message and its money held; it becomes the branch on show.

    Raises InsufficientFunds, Conversation.DoesNotExist where it was deleted meanwhile, and IntegrityError
    while another of its turns is open or when this one was started before. Call it inside a transaction.
    """
    turn = Turn(
        conversation=conversation,
        parent=parent,
        client_id=question.client_id,
        model=question.model,
        long_thinking=question.long_thinking,
        effort=question.effort,
        team=question.team,
        plan_needs_approval=question.plan_needs_approval,
        tool_terms=dict(question.tool_terms),
        instructions=question.instructions,
        continues=question.continues,
        **asdict(question.limits),
        wake_at=FromNow(RING_AGAIN_S),
    )
    messages = openings.messages(turn, text=documents.told(question.text, question.documents))
    turn.hold = holds.place(
        conversation.user,
        model=question.model,
        max_input_tokens=estimates.most_input_tokens(
            messages, tools=tools, context_tokens=question.model.context_tokens
        ),
        max_output_tokens=min(question.model.max_output_tokens, question.limits.max_output_tokens),
        ttl=timedelta(seconds=question.limits.max_seconds + SPARE_S),
        api_key=question.api_key,
    )
    turn.save(force_insert=True)
    del turn.wake_at  # the database knows the time: it is read when it is asked for
    message = Message.objects.create(turn=turn, step=0, role=Message.Role.USER)
    Part.objects.create(message=message, position=0, kind=Part.Kind.TEXT, text=question.text)
    search_index.keep_question(turn, question.text)
    documents.keep(turn, question.documents)
    if question.continues is not None:
        _inherit(turn, question.continues)
    alive = Conversation.objects.filter(id=conversation.id)
    if not alive.update(current_turn=turn, archived_at=None, updated_at=FromNow()):
        raise Conversation.DoesNotExist
    return turn


def _inherit(turn: Turn, earlier: Turn) -> None:
    """What the earlier turn wrote down is the turn's own: passages under the same numbers, facts, plan, and
    what can be looked up."""
    kept: tuple[type[Model], ...] = (Passage, Fact, PlanItem, Artifact)
    for model in kept:
        copies: list[Any] = list(model._default_manager.filter(turn=earlier))
        for copy in copies:
            copy.pk = uuid4() if model is Artifact else None
            copy.turn = turn
        model._default_manager.bulk_create(copies)


def has_open(conversation: Conversation) -> bool:
    return _open().filter(conversation=conversation, spawned_by=None).exists()


def limits_of(turn: Turn) -> Limits:
    return Limits(**{field.name: getattr(turn, field.name) for field in fields(Limits)})


# ---- holding a turn


def claim(turn_id: UUID) -> int | None:
    """Take the lease of an open turn that nobody holds: its fence, for the one worker that got it. A turn
    that waits is only to be had when it is due, an agent only while not too many of its user's are driven."""
    rows = Turn.objects.filter(id=turn_id).annotate(now=FromNow())
    row = rows.select_related("conversation").first()
    if row is None or row.status == Turn.Status.FINISHED:
        return None
    if row.spawned_by_id is None:
        return _claim(row)
    with transaction.atomic():
        return _claim(row) if fairness.has_room(row.conversation.user_id) else None


def _claim(row: Turn) -> int | None:
    now: datetime = vars(row)["now"]
    is_waiting = row.status == Turn.Status.WAITING
    if is_waiting and (row.wake_at is None or row.wake_at > now):
        return None
    free = _open().filter(Q(lease_until=None) | Q(lease_until__lte=FromNow()), id=row.id, fence=row.fence)
    # Whoever gives a turn back gives back its lease: one that ran out was a dead worker's.
    was_lost = row.status == Turn.Status.RUNNING and row.lease_until is not None
    taken = free.update(
        fence=row.fence + 1,
        lease_until=fences.lease(),
        status=Turn.Status.RUNNING,
        wake_at=None,
        parked_at=None,
        waited_ms=row.waited_ms + (_ms(now - row.parked_at) if row.parked_at else 0),
        num_lost=row.num_lost + was_lost,
        started_at=Coalesce(F("started_at"), FromNow()),
    )
    return row.fence + 1 if taken else None


@dataclass(frozen=True, kw_only=True)
class News:
    """What a worker learns of its turn when it renews the lease. `rung_at` changes with each wake."""

    is_cancelled: bool
    rung_at: datetime | None


def renew(turn_id: UUID, *, fence: int, last_seq: int) -> News:
    """Keep the lease. Raises TurnLost."""
    fences.keep(turn_id, fence, last_seq=last_seq)
    row = Turn.objects.filter(id=turn_id).values_list("cancel_requested_at", "wake_at").first()
    cancelled_at, rung_at = row or (None, None)
    return News(is_cancelled=cancelled_at is not None, rung_at=rung_at)


def pause(turn_id: UUID, *, fence: int) -> None:
    """Give the lease back: the segment is over, the turn is not. Raises TurnLost."""
    fences.write(turn_id, fence, lease_until=None)


def park(turn: Turn, parked: Parked, *, fence: int, last_seq: int, spent: Usage) -> bool:
    """Leave the turn without a worker until it is woken; of its money only what is spent stays held. True
    when it was woken already. Raises TurnLost."""
    with transaction.atomic():
        fences.write(
            turn.id,
            fence,
            status=Turn.Status.WAITING,
            lease_until=None,
            parked_at=FromNow(),
            waiting_for=str(parked.waiting_for),
            last_seq=last_seq,
        )
        row = Turn.objects.filter(id=turn.id)
        if parked.waiting_for is WaitingFor.QUOTA:
            row.update(quota_since=Coalesce(F("quota_since"), FromNow()))
        if parked.wake_in_s is not None:
            # A wake since the claim is not lost: it is due at once.
            row.update(wake_at=Coalesce(F("wake_at"), FromNow(parked.wake_in_s)))
        budgets.settle(turn, 0)
        bills.hold_only(turn, spent)
        if parked.waiting_for is not WaitingFor.AGENTS:
            user_id, lease_id = turn.conversation.user_id, str(turn.id)
            transaction.on_commit(lambda: limits.leave("turn", user_id=user_id, lease_id=lease_id))
        return row.filter(wake_at__lte=FromNow()).exists()


def waits_too_long(turn: Turn, parked: Parked) -> bool:
    """Whether a turn would wait for its provider's quota for longer than anybody should, counted from the
    first refusal without an answer since."""
    if parked.waiting_for is not WaitingFor.QUOTA:
        return False
    may_have_waited_s = settings.QUOTA_PATIENCE_S - (parked.wake_in_s or 0)
    since = FromNow(-may_have_waited_s)
    return may_have_waited_s < 0 or Turn.objects.filter(id=turn.id, quota_since__lt=since).exists()


def resumed(turn: Turn, *, fence: int) -> None:
    """Its readers know that the turn waits no more. Raises TurnLost."""
    fences.write(turn.id, fence, waiting_for="")


def wake(turn_id: UUID) -> None:
    """Have a turn that waits go on; one that is just being driven comes back at once after it has parked.
    Rings on commit."""
    _open().filter(id=turn_id).update(**_woken())
    transaction.on_commit(lambda: doorbell.ring(turn_id))


def add_note(turn_id: UUID, note: Note, *, note_id: UUID | None = None) -> None:
    """Put a note down from outside; the model reads it before its next step."""
    with transaction.atomic():
        step_rows.add_note(turn_id, note, note_id=note_id)
        # Its worker looks for news; a turn that waits goes on waiting.
        _open().filter(id=turn_id, status=Turn.Status.RUNNING).update(wake_at=FromNow())


def request_stop(turn_id: UUID) -> None:
    """Note that the person wants the turn and its agents to end, and wake them: their workers see it, or
    whoever claims them next."""
    asked = Coalesce(F("cancel_requested_at"), FromNow())
    concerned = _open().filter(Q(id=turn_id) | Q(spawned_by=turn_id))
    for open_id in list(concerned.values_list("id", flat=True)):
        _open().filter(id=open_id).update(cancel_requested_at=asked, **_woken())
        transaction.on_commit(partial(doorbell.ring, open_id))


def take_due() -> list[UUID]:
    """The open turns that nobody drives and that are to be rung for; each is named again only after a
    while."""
    now = FromNow()
    queued = Q(status=Turn.Status.QUEUED)
    left = Q(status=Turn.Status.RUNNING) & (Q(lease_until=None) | Q(lease_until__lte=now))
    is_due = (queued | left) & (Q(wake_at=None) | Q(wake_at__lte=now))
    waiting = Q(status=Turn.Status.WAITING, wake_at__lte=now)
    turn_ids = list(_open().filter(is_due | waiting).values_list("id", flat=True)[:500])
    return [turn_id for turn_id in turn_ids if _take_due(turn_id, is_due, waiting)]


def _take_due(turn_id: UUID, is_due: Q, waiting: Q) -> bool:
    """True for the one sweep that rings for it now."""
    row = _open().filter(id=turn_id)
    if row.filter(waiting).update(**_due()):
        return True
    return row.filter(is_due).update(wake_at=FromNow(RING_AGAIN_S)) == 1


def _woken() -> dict[str, Any]:
    """What wakes a turn, however it is found, in the one UPDATE that finds it: a worker may be parking it at
    this very moment, which then comes back at once."""
    due = _due()
    is_waiting, is_driven = Q(status=Turn.Status.WAITING), Q(status=Turn.Status.RUNNING)
    return {
        "status": Case(When(is_waiting, then=Value(due["status"])), default=F("status")),
        "wake_at": Case(When(is_driven, then=FromNow()), default=due["wake_at"]),
    }


def _due() -> dict[str, Any]:
    """What makes a turn that waits one that wants a worker, and is being rung for."""
    return {"status": Turn.Status.QUEUED, "wake_at": FromNow(RING_AGAIN_S)}


def finish(
    turn_id: UUID,
    *,
    fence: int,
    finish_reason: FinishReason,
    error: str,
    last_seq: int,
    limit: Limit | None = None,
) -> Turn:
    """End the turn: its stored replies are billed, the rest of its hold is given back. Raises TurnLost.

    `last_seq` is the number of the event that is yet to say so; until `announced`, the sweep sees to it that
    one does.
    """
    with transaction.atomic():
        # Rows are locked agents first, then their turn, then the money: nobody waits in a circle.
        _end_agents(turn_id)
        fences.write(
            turn_id,
            fence,
            status=Turn.Status.FINISHED,
            finish_reason=str(finish_reason),
            limit=str(limit or ""),
            error=error[:ERROR_CHARS],
            finished_at=FromNow(),
            lease_until=fences.lease(),
            last_seq=last_seq,
        )
        # Nobody decides on its calls any more, and the sweep need not look for when that is too late.
        ToolRun.objects.filter(turn=turn_id, state=ToolRun.State.WAITING).update(expires_at=None)
        turn = _said(turn_id)
        budgets.settle(turn, 0)
        if turn.spawned_by_id is not None:
            wake(turn.spawned_by_id)
        bills.settle(turn)
        user_id, lease_id = turn.conversation.user_id, str(turn_id)
        transaction.on_commit(lambda: limits.leave("turn", user_id=user_id, lease_id=lease_id))
        endings.keep(turn)
    return turn


def _end_agents(turn_id: UUID) -> None:
    """Nobody is left whom the turn's agents could tell anything."""
    agents = _open().filter(spawned_by=turn_id)
    for agent in list(agents.values_list("id", flat=True)):
        request_stop(agent)


def abandon(turn: Turn) -> None:
    """End an open turn at once, whoever holds it, without a word to its readers. For turns that are to be
    deleted."""
    with transaction.atomic():
        taken = _open().filter(id=turn.id).update(fence=F("fence") + 1, status=Turn.Status.RUNNING)
        if taken:
            turn.refresh_from_db(fields=["fence", "last_seq"])
            reason = FinishReason.CANCELLED
            finish(turn.id, fence=turn.fence, finish_reason=reason, error="", last_seq=turn.last_seq)


def announced(turn_id: UUID, *, fence: int) -> None:
    """The last event of a finished turn is out."""
    Turn.objects.filter(id=turn_id, fence=fence, status=Turn.Status.FINISHED).update(lease_until=None)


def take_unannounced() -> list[Turn]:
    """Finished turns whose worker died before it could say so, each for one caller."""
    left = Turn.objects.filter(status=Turn.Status.FINISHED, lease_until__lte=FromNow())
    taken = []
    for turn in list(left[:100]):
        if left.filter(id=turn.id, fence=turn.fence).update(fence=turn.fence + 1, lease_until=fences.lease()):
            taken.append(_said(turn.id))
    return taken


def _open() -> "QuerySet[Turn]":
    # Named, not excluded: else the sweep would read every turn there ever was, each second.
    return Turn.objects.filter(status__in=(Turn.Status.QUEUED, Turn.Status.RUNNING, Turn.Status.WAITING))


def _said(turn_id: UUID) -> Turn:
    """The turn with what it said and was told, which is what its last event is made of; no more of it, for it
    may be long."""
    texts = Prefetch("parts", Part.objects.filter(kind=Part.Kind.TEXT))
    said = Message.objects.exclude(role=Message.Role.TOOL).prefetch_related(texts)
    turns = Turn.objects.select_related("hold", "model", "conversation")
    return turns.prefetch_related(Prefetch("messages", said)).get(id=turn_id)


def _ms(time: timedelta) -> int:
    return max(int(time.total_seconds() * 1000), 0)
