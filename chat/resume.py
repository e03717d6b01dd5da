"""Where the database leaves a turn: what a worker needs to go on with it as if nothing had happened."""

import time
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from agents.loop import Outcome, Progress
from chat import events, frames, history
from chat.models import Message, Turn
from inference.schema import ChatMessage, FinishReason, Role, ToolCall
from webapp.billing import prices, pricing


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the database knows of a turn when a segment begins."""

    turn: Turn
    progress: Progress
    shown: events.Shown
    rates: pricing.Rates
    tenant: str


def load(turn_id: UUID) -> Start:
    """What to go on from. Raises Turn.DoesNotExist when the turn was deleted."""
    turn = (
        Turn.objects.select_related("model", "conversation__user", "hold__price", "hold__account")
        .prefetch_related("messages__parts")
        .get(id=turn_id)
    )
    return Start(
        turn=turn,
        progress=_progress(turn),
        shown=shown(turn),
        rates=prices.rates_of(turn.hold.price) if turn.hold.price else pricing.FREE,
        tenant=str(turn.conversation.user_id),
    )


def shown(turn: Turn) -> events.Shown:
    """What readers have been shown of the stored steps."""
    return events.Shown(
        [event for event in history.stored_events(turn) if not isinstance(event, frames.TurnFinished)]
    )


def _progress(turn: Turn) -> Progress:
    """Where the stored messages leave the turn: calls to be run, the next model call, or the answer."""
    before = history.request_messages(turn, text=history.user_text(turn))
    steps = history.steps_of(turn)
    pending = {}
    own: list[ChatMessage] = []
    if steps:
        calls = steps[-1].tool_calls
        pending = {
            index: ToolCall(id=call.id, name=call.name, arguments=call.arguments)
            for index, call in enumerate(calls)
            if call.result is None
        }
        waiting = {call.id for call in pending.values()}
        own = [
            message
            for message in history.step_messages(turn, with_reasoning=True)
            if message.role is not Role.TOOL or message.tool_call_id not in waiting
        ]
    elapsed_s = (timezone.now() - turn.started_at).total_seconds() if turn.started_at else 0.0
    return Progress(
        messages=before + own,
        next_step=turn.next_step,
        pending=pending,
        usage=history.stored_usage(turn),
        answer=_answer(turn),
        began=time.monotonic() - elapsed_s,
    )


def _answer(turn: Turn) -> Outcome | None:
    """The end that the last stored reply makes, if it makes one."""
    replies = [message for message in turn.messages.all() if message.role == Message.Role.ASSISTANT]
    if not replies:
        return None
    reason = FinishReason(replies[-1].finish_reason)
    has_calls = bool(history.steps_of(turn)[-1].tool_calls)
    if has_calls and reason in (FinishReason.TOOL_CALLS, FinishReason.STOP):
        return None
    return Outcome(finish_reason=FinishReason.STOP if reason is FinishReason.TOOL_CALLS else reason)
