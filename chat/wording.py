"""Why a turn ended, in the language of the person who asked."""

from decimal import Decimal

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from agents.limits import Limit
from chat.models import Turn
from webapp.billing import pricing


def of_limit(limit: Limit, turn: Turn) -> str:
    with translation.override(language(turn)):
        if limit is Limit.STEPS:
            return _("Stopped at the limit of %(most)d steps.") % {"most": turn.max_steps}
        if limit is Limit.SECONDS:
            return _("Stopped at the time limit of %(most)d seconds.") % {"most": turn.max_seconds}
        if limit is Limit.OUTPUT_TOKENS:
            return _("Stopped at the limit of %(most)d tokens.") % {"most": turn.max_output_tokens}
        cost = pricing.to_decimal(turn.max_cost_nano or 0).normalize() + Decimal(0)
        currency = turn.hold.account.currency
        return _("Stopped at the cost limit of %(most)s %(currency)s.") % {
            "most": f"{cost:f}",
            "currency": currency,
        }


def trouble(turn: Turn) -> str:
    with translation.override(language(turn)):
        return _("Something went wrong on our side, and the answer could not be completed. Try again.")


def language(turn: Turn) -> str:
    return turn.conversation.user.language or settings.LANGUAGE_CODE
