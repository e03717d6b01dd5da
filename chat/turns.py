"""Every change of a turn's state, one function and one transaction each. Reads no clock but the database's
rows' own time.

A worker's writes repeat its fence: a write that changes no row raises TurnLost, and the worker stops at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from agents.limits import Limits
from agents.reply import Reply
from agents.tool import ToolResult
from chat import budgets, history, markdown
from chat.models import Conversation, Message, Part, Turn
from inference.schema import FinishReason, ToolCall, ToolSpec
from webapp.accounts.models import User
from webapp.billing import estimates, holds, limits
from webapp.billing.models import UsageRecord
from webapp.catalog.models import ServedModel

RING_AGAIN_S = 3
SPARE_S = 3_600  # that a hold outlives the turn's time limit
PLACE_S = 300  # that a turn has its place among its user's turns, unless it is kept
TITLE_CHARS = 60
ERROR_CHARS = 500


class TurnLost(Exception):
    """Another worker holds the turn, or it has ended: nothing was changed, and nothing more may be
    written."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a person asks for: everything of a turn that is known before it begins."""

    text: str
    model: ServedModel
    client_id: UUID
    long_thinking: bool
    effort: str
    limits: Limits


def open_conversation(user: User, *, conversation_id: UUID, text: str) -> Conversation:
    """A conversation titled by the first words of its first message."""
    words = " ".join(text.split())
    title = words if len(words) <= TITLE_CHARS else f"{words[: TITLE_CHARS - 1].rsplit(' ', 1)[0]}…"
    return Conversation.objects.create(id=conversation_id, user=user, title=title)


def start(
    conversation: Conversation, question: Question, *, parent: Turn | None, tools: tuple[ToolSpec, ...]
) -> Turn:
    """A queued turn with its user message and its money held; it becomes the branch on show.

    Raises holds.InsufficientFunds, and IntegrityError while another turn of the conversation is open or when
    this one was started before. Call it inside a transaction.
    """
    now = timezone.now()
    turn = Turn(
        conversation=conversation,
        parent=parent,
        client_id=question.client_id,
        model=question.model,
        long_thinking=question.long_thinking,
        effort=question.effort,
        max_steps=question.limits.max_steps,
        max_seconds=question.limits.max_seconds,
        max_reasoning_tokens=question.limits.max_reasoning_tokens,
        max_output_tokens=question.limits.max_output_tokens,
        max_cost_nano=question.limits.max_cost_nano,
        wake_at=now + timedelta(seconds=RING_AGAIN_S),
    )
    messages = history.request_messages(turn, text=question.text)
    turn.hold = holds.place(
        conversation.user,
        model=question.model,
        max_input_tokens=estimates.most_input_tokens(
            messages, tools=tools, context_tokens=question.model.context_tokens
        ),
        max_output_tokens=min(question.model.max_output_tokens, question.limits.max_output_tokens),
        ttl=timedelta(seconds=question.limits.max_seconds + SPARE_S),
    )
    turn.save(force_insert=True)
    message = Message.objects.create(turn=turn, step=0, role=Message.Role.USER)
    Part.objects.create(message=message, position=0, kind=Part.Kind.TEXT, text=question.text)
    Conversation.objects.filter(id=conversation.id).update(current_turn=turn, updated_at=now)
    return turn


def has_open(conversation: Conversation) -> bool:
    return _open().filter(conversation=conversation).exists()


def limits_of(turn: Turn) -> Limits:
    return Limits(
        max_steps=turn.max_steps,
        max_seconds=turn.max_seconds,
        max_reasoning_tokens=turn.max_reasoning_tokens,
        max_output_tokens=turn.max_output_tokens,
        max_cost_nano=turn.max_cost_nano,
    )


# ---- holding a turn


def claim(turn_id: UUID) -> int | None:
    """Take the lease of an open turn that nobody holds: its fence, for the one worker that got it."""
    now = timezone.now()
    row = Turn.objects.filter(id=turn_id).values("fence", "status").first()
    if row is None or row["status"] == Turn.Status.FINISHED:
        return None
    free = _open().filter(Q(lease_until=None) | Q(lease_until__lte=now), id=turn_id, fence=row["fence"])
    taken = free.update(
        fence=row["fence"] + 1,
        lease_until=_lease(now),
        status=Turn.Status.RUNNING,
        wake_at=None,
        started_at=Coalesce(F("started_at"), now),
    )
    return row["fence"] + 1 if taken else None


def renew(turn_id: UUID, *, fence: int, last_seq: int) -> bool:
    """Keep the lease; True when the person has asked to stop. Raises TurnLost."""
    _write(turn_id, fence, lease_until=_lease(timezone.now()), last_seq=last_seq)
    return Turn.objects.filter(id=turn_id).exclude(cancel_requested_at=None).exists()


def pause(turn_id: UUID, *, fence: int) -> None:
    """Give the lease back: the segment is over, the turn is not. Raises TurnLost."""
    _write(turn_id, fence, lease_until=timezone.now())


def request_stop(turn_id: UUID) -> None:
    """Note that the person wants the turn to end; its worker sees that, or whoever claims it next."""
    asked = Coalesce(F("cancel_requested_at"), timezone.now())
    _open().filter(id=turn_id).update(cancel_requested_at=asked)


def take_due() -> list[UUID]:
    """The open turns that nobody drives and that are to be rung for; each is named again only after a
    while."""
    now = timezone.now()
    queued = Q(status=Turn.Status.QUEUED)
    left = Q(status=Turn.Status.RUNNING, lease_until__lte=now)
    due = _open().filter(queued | left).filter(Q(wake_at=None) | Q(wake_at__lte=now))
    turn_ids = []
    for turn_id in list(due.values_list("id", flat=True)[:500]):
        turn_ids += [turn_id] * due.filter(id=turn_id).update(wake_at=now + timedelta(seconds=RING_AGAIN_S))
    return turn_ids


# ---- what a worker writes


def save_reply(turn_id: UUID, reply: Reply, *, fence: int, last_seq: int) -> None:
    """Keep a model's reply: its text, its usage, and its calls as intents to be run. Raises TurnLost."""
    parts = list(_parts(reply))
    with transaction.atomic():
        _write(
            turn_id, fence, next_step=reply.step + 1, last_seq=last_seq, lease_until=_lease(timezone.now())
        )
        message = Message.objects.create(
            turn_id=turn_id,
            step=reply.step,
            role=Message.Role.ASSISTANT,
            finish_reason=reply.finish_reason,
            input_uncached_tokens=reply.usage.input_uncached_tokens,
            input_cached_tokens=reply.usage.input_cached_tokens,
            output_tokens=reply.usage.output_tokens,
            reasoning_tokens=reply.usage.reasoning_tokens,
            is_estimated=reply.is_estimated,
            duration_ms=reply.duration_ms,
        )
        for position, part in enumerate(parts):
            part.message = message
            part.position = position
        Part.objects.bulk_create(parts)


def save_result(
    turn_id: UUID,
    call: ToolCall,
    result: ToolResult,
    *,
    step: int,
    index: int,
    fence: int,
    last_seq: int,
    duration_ms: int,
) -> None:
    """Keep what call number `index` of a step brought. Raises TurnLost."""
    with transaction.atomic():
        _write(turn_id, fence, last_seq=last_seq, lease_until=_lease(timezone.now()))
        message = Message.objects.create(
            turn_id=turn_id, step=step, position=index + 1, role=Message.Role.TOOL, duration_ms=duration_ms
        )
        Part.objects.create(
            message=message,
            position=0,
            kind=Part.Kind.TOOL_RESULT,
            text=result.for_model,
            tool_name=call.name,
            tool_call_id=call.id,
            is_error=result.is_error,
            duration_ms=duration_ms,
        )


def finish(turn_id: UUID, *, fence: int, finish_reason: FinishReason, error: str, last_seq: int) -> Turn:
    """End the turn: its stored replies are billed, the rest of its hold is given back. Raises TurnLost.

    `last_seq` is the number of the event that is yet to say so; until `announced`, the sweep sees to it that
    one does.
    """
    now = timezone.now()
    with transaction.atomic():
        _write(
            turn_id,
            fence,
            status=Turn.Status.FINISHED,
            finish_reason=finish_reason,
            error=error[:ERROR_CHARS],
            finished_at=now,
            lease_until=_lease(now),
            last_seq=last_seq,
        )
        turn = _whole(turn_id)
        budgets.settle(turn, 0)
        _settle(turn)
        user_id, lease_id = turn.conversation.user_id, str(turn_id)
        transaction.on_commit(lambda: limits.leave("turn", user_id=user_id, lease_id=lease_id))
        Conversation.objects.filter(id=turn.conversation_id).update(updated_at=now)
    return turn


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
    now = timezone.now()
    left = Turn.objects.filter(status=Turn.Status.FINISHED, lease_until__lte=now)
    taken = []
    for turn in list(left[:100]):
        if left.filter(id=turn.id, fence=turn.fence).update(fence=turn.fence + 1, lease_until=_lease(now)):
            taken.append(_whole(turn.id))
    return taken


def _open() -> "QuerySet[Turn]":
    return Turn.objects.exclude(status=Turn.Status.FINISHED)


def _whole(turn_id: UUID) -> Turn:
    return (
        Turn.objects.select_related("hold", "model", "conversation")
        .prefetch_related("messages__parts")
        .get(id=turn_id)
    )


def _lease(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.TURN_LEASE_S)


def _write(turn_id: UUID, fence: int, **changes: object) -> None:
    held = Turn.objects.filter(id=turn_id, fence=fence, status=Turn.Status.RUNNING)
    if held.update(**changes) == 0:
        raise TurnLost(f"turn {turn_id} is no more at fence {fence}")


def _parts(reply: Reply) -> "list[Part]":
    parts = []
    if reply.reasoning:
        parts.append(
            Part(
                kind=Part.Kind.REASONING,
                text=reply.reasoning,
                num_tokens=reply.reasoning_tokens,
                duration_ms=reply.reasoning_ms,
            )
        )
    if reply.content:
        parts.append(Part(kind=Part.Kind.TEXT, text=reply.content, html=markdown.render(reply.content)))
    parts.extend(
        Part(kind=Part.Kind.TOOL_CALL, text=call.arguments, tool_name=call.name, tool_call_id=call.id)
        for call in reply.tool_calls
    )
    return parts


def _settle(turn: Turn) -> None:
    """Bill what is stored. A model call that was lost in a crash is not stored, so it costs nothing."""
    replies = [message for message in turn.messages.all() if message.role == Message.Role.ASSISTANT]
    if not replies:
        holds.release(turn.hold_id)
        return
    holds.settle(
        turn.hold_id,
        usage=history.stored_usage(turn),
        source=UsageRecord.Source.CHAT,
        reference=str(turn.id),
        finish_reason=turn.finish_reason,
        num_steps=len(replies),
        is_estimated=any(reply.is_estimated for reply in replies),
    )
