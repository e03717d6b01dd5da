"""What the card of a turn that a limit ended says: which limit, and what the person may give it so that it
goes on, half as much again, rounded."""

from dataclasses import dataclass
from decimal import Decimal

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agents.limits import Limit
from chat.history import TurnView
from chat.models import Turn
from chat.templatetags.chat_page import count, duration, money
from webapp.billing import pricing

register = template.Library()

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


@register.filter
def limit_title(view: TurnView) -> str:
    """ "Stopped at step 87: cost limit of $2.00 reached"."""
    if not (said := _reached(view.turn, currency=view.currency)):
        return view.error
    return _("Stopped at step %(step)d: %(limit)s") % {"step": max(1, view.turn.next_step - 1), "limit": said}


def _reached(turn: Turn, *, currency: str) -> str:
    """The limit that ended a turn, in a few words in the language of the page; empty where they do not say
    enough."""
    most_cost = money(pricing.to_decimal(turn.max_cost_nano or 0), currency)
    words = {
        Limit.STEPS: _("limit of %(most)s steps reached") % {"most": turn.max_steps},
        Limit.SECONDS: _("time limit of %(most)s reached") % {"most": duration(turn.max_seconds * 1000)},
        Limit.COST: _("cost limit of %(most)s reached") % {"most": most_cost},
        Limit.OUTPUT_TOKENS: _("limit of %(most)s tokens reached") % {"most": count(turn.max_output_tokens)},
        Limit.TOTAL_TOKENS: _("limit of %(most)s tokens reached")
        % {"most": count(turn.max_total_tokens or 0)},
        Limit.SANDBOX_SECONDS: _("limit of computing time reached"),
        Limit.FETCHED_BYTES: _("limit of bytes to fetch reached"),
        Limit.CONTEXT: _("nothing more fits into what it can read"),
        Limit.REPEATS: _("it made the same calls again and again"),
        Limit.DAILY_COST: _("daily limit of the account reached"),
        Limit.FUNDS: _("the account is empty"),
        Limit.QUOTA: _("the provider takes no requests"),
    }
    return next((text for limit, text in words.items() if limit == turn.limit), "")


@register.simple_tag
def more_of(view: TurnView) -> More:
    turn, currency = view.turn, view.currency
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
