"""Where the database leaves a turn: what a worker needs to go on with it as if nothing had happened."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from agents.loop import Outcome, Progress
from chat import events, history
from chat.history import StepView
from chat.models import Turn
from inference.schema import FinishReason, Role, ToolCall
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
    steps = history.steps_of(turn)
    return Start(
        turn=turn,
        progress=_progress(turn, steps),
        shown=events.Shown(history.shown_events(turn, steps)),
        rates=prices.rates_of(turn.hold.price) if turn.hold.price else pricing.FREE,
        tenant=str(turn.conversation.user_id),
    )


def _progress(turn: Turn, steps: Sequence[StepView]) -> Progress:
    """Where the stored steps leave the turn: calls to be run, the next model call, or the answer."""
    pending = _pending(steps[-1]) if steps else {}
    waiting = {call.id for call in pending.values()}
    own = [
        message
        for message in history.step_messages(steps, with_reasoning=True)
        if message.role is not Role.TOOL or message.tool_call_id not in waiting
    ]
    elapsed_s = (timezone.now() - turn.started_at).total_seconds() if turn.started_at else 0.0
    return Progress(
        messages=history.request_messages(turn, text=history.user_text(turn)) + own,
        next_step=turn.next_step,
        pending=pending,
        usage=history.stored_usage(turn),
        answer=_answer(steps[-1]) if steps else None,
        began=time.monotonic() - elapsed_s,
    )


def _pending(step: StepView) -> dict[int, ToolCall]:
    return {
        index: ToolCall(id=call.id, name=call.name, arguments=call.arguments)
        for index, call in enumerate(step.tool_calls)
        if call.result is None
    }


def _answer(last: StepView) -> Outcome | None:
    """The end that the last stored reply makes, if it makes one."""
    reason = FinishReason(last.finish_reason)
    if last.tool_calls and reason in (FinishReason.TOOL_CALLS, FinishReason.STOP):
        return None
    return Outcome(finish_reason=FinishReason.STOP if reason is FinishReason.TOOL_CALLS else reason)
