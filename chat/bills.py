"""What a turn costs: the hold of one that waits, and the bill of one that has ended, made from its rows."""

import logging
from datetime import timedelta

from django.db.models import Sum

from chat.models import Message, ToolRun, Turn
from inference.schema import Usage
from webapp.billing import holds
from webapp.billing.models import UsageRecord
from webapp.billing.refusals import InsufficientFunds

logger = logging.getLogger(__name__)

WHILE_WAITING = timedelta(days=365)  # a hold lives, while its turn waits for a person


def hold_only(turn: Turn, spent: Usage) -> None:
    """Give back what was held for further calls, for as long as the turn waits."""
    try:
        holds.extend(
            turn.hold_id,
            spent=spent,
            fees_nano=_fees_nano(turn),
            max_input_tokens=0,
            max_output_tokens=0,
            ttl=WHILE_WAITING,
        )
    except InsufficientFunds:
        logger.warning("turn %s: its hold ran out before it had to wait", turn.id)


def _fees_nano(turn: Turn) -> int:
    """What the turn's tools have cost, as far as their results are stored."""
    return int(ToolRun.objects.filter(turn=turn).aggregate(sum=Sum("cost_nano", default=0))["sum"])


def settle(turn: Turn) -> None:
    """Bill what is stored. A model call that was lost in a crash is not stored, so it costs nothing."""
    messages = Message.objects.filter(turn=turn)
    replies = messages.filter(role=Message.Role.ASSISTANT)
    sums = messages.aggregate(**{name: Sum(name, default=0) for name in Usage.__struct_fields__})
    usage = Usage(**sums)
    num_steps = replies.count()
    if not num_steps and not usage.total_tokens:
        holds.release(turn.hold_id)
        return
    holds.settle(
        turn.hold_id,
        usage=usage,
        fees_nano=_fees_nano(turn),
        source=UsageRecord.Source.CHAT,
        reference=str(turn.id),
        finish_reason=turn.finish_reason,
        num_steps=num_steps,
        num_tool_calls=ToolRun.objects.filter(turn=turn).count(),
        is_estimated=messages.filter(is_estimated=True).exists(),
    )
