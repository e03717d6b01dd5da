"""What a person may give a turn that a limit ended, so that it goes on: half as much again, rounded."""

from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agents.limits import Limit
from chat.models import Turn
from chat.templatetags.chat_page import money
from webapp.billing import pricing

STEPS = 50
OTHER_STEPS = (10, 200)


@dataclass(frozen=True, kw_only=True)
class More:
    """`name` and `value` are a field of chat.forms.ContinueForm; none where it gets as much again as it had.
    `others` are further amounts, with their labels."""

    label: str
    name: str = ""
    value: str = ""
    others: tuple[tuple[str, str], ...] = ()
    explained: str = ""


def of(turn: Turn, *, currency: str) -> More:
    limit = Limit(turn.limit)
    if limit is Limit.STEPS:
        others = tuple((_("%(steps)d more") % {"steps": steps}, str(steps)) for steps in OTHER_STEPS)
        label = _("Continue with %(steps)d more steps") % {"steps": STEPS}
        return More(label=label, name="steps", value=str(STEPS), others=others)
    if limit is Limit.COST and turn.max_cost_nano:
        sum_ = _round(pricing.to_decimal(turn.max_cost_nano) / 2)
        label = _("Continue with %(sum)s more") % {"sum": money(sum_, currency)}
        return More(label=label, name="cost", value=f"{sum_:f}")
    if limit is Limit.SECONDS:
        minutes = max(1, turn.max_seconds // 120)
        label = ngettext(
            "Continue with %(minutes)d more minute", "Continue with %(minutes)d more minutes", minutes
        ) % {"minutes": minutes}
        return More(label=label, name="seconds", value=str(60 * minutes))
    explained = turn.error if limit in (Limit.DAILY_COST, Limit.FUNDS, Limit.QUOTA) else ""
    return More(label=_("Continue"), explained=explained)


def _round(amount: Decimal) -> Decimal:
    """With one figure that counts: 0.1, 1, 2."""
    return amount.quantize(Decimal(1).scaleb(amount.adjusted()))
