"""Why money cannot be held: the account, its day or a budget does not cover it. Texts are fit for a user."""

from decimal import Decimal

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from webapp.billing import pricing
from webapp.billing.budgets import State
from webapp.billing.daily import Today
from webapp.billing.models import Account, Budget, Scope


class InsufficientFunds(Exception):
    """The account cannot cover the hold; the text names the numbers and is fit to show to a user."""

    code = "insufficient_quota"

    def __init__(self, *, needed_nano: int, account: Account) -> None:
        self.needed_nano = needed_nano
        self.available_nano = account.balance_nano - account.held_nano
        self.held_nano = account.held_nano
        self.currency = account.currency
        super().__init__(
            _(
                "This request may cost up to %(needed)s %(currency)s, but the account has %(free)s "
                "%(currency)s free (%(held)s is held by requests under way). Ask for a shorter answer, or "
                "ask an administrator for credit."
            )
            % {
                "needed": _show(needed_nano),
                "free": _show(self.available_nano),
                "held": _show(account.held_nano),
                "currency": account.currency,
            }
        )


class DailyLimitReached(InsufficientFunds):
    """What may be spent in a day does not cover the hold; the text says when there is more."""

    code = "daily_limit_reached"

    def __init__(self, *, needed_nano: int, account: Account, today: Today) -> None:
        super().__init__(needed_nano=needed_nano, account=account)
        self.available_nano = today.left_nano or 0
        self.renews_at = today.renews_at
        values = {
            "needed": _show(needed_nano),
            "limit": _show(today.limit_nano or 0),
            "spent": _show(today.spent_nano),
            "held": _show(today.held_nano),
            "currency": account.currency,
            "renews": date_format(timezone.localtime(today.renews_at), "DATETIME_FORMAT"),
            "zone": timezone.get_current_timezone_name(),
        }
        if today.is_own:
            text = _(
                "This request may cost up to %(needed)s %(currency)s, but your own daily limit is %(limit)s "
                "%(currency)s, of which %(spent)s are spent and %(held)s held by requests under way. It "
                "renews at %(renews)s (%(zone)s); you can change it in the settings."
            )
        else:
            text = _(
                "This request may cost up to %(needed)s %(currency)s, but the daily limit of this account is "
                "%(limit)s %(currency)s, of which %(spent)s are spent and %(held)s held by requests under "
                "way. It renews at %(renews)s (%(zone)s); ask an administrator for more."
            )
        self.args = (text % values,)


class BudgetReached(InsufficientFunds):
    """A hard budget of the key, the user, the project or the team does not cover the hold."""

    code = "budget_reached"

    def __init__(self, *, needed_nano: int, account: Account, state: State) -> None:
        super().__init__(needed_nano=needed_nano, account=account)
        budget = state.budget
        self.scope, self.subject = budget.scope, budget.subject
        self.limit_nano, self.spent_nano = budget.hard_nano or 0, state.spent_nano
        self.available_nano, self.held_nano = state.left_nano or 0, budget.held_nano
        self.renews_at = state.renews_at
        text = _(
            "This request may cost up to %(needed)s %(currency)s, but the budget of this %(scope)s is "
            "%(limit)s %(currency)s a %(period)s, of which %(spent)s are spent and %(held)s held by requests "
            "under way. It renews at %(renews)s (%(zone)s); whoever keeps the budget can raise it."
        )
        values = {
            "needed": _show(needed_nano),
            "limit": _show(self.limit_nano),
            "spent": _show(self.spent_nano),
            "held": _show(self.held_nano),
            "currency": budget.currency,
            "scope": Scope(budget.scope).label,
            "period": Budget.Period(budget.period).label,
            "renews": date_format(timezone.localtime(state.renews_at), "DATETIME_FORMAT"),
            "zone": timezone.get_current_timezone_name(),
        }
        self.args = (text % values,)

    @property
    def details(self) -> dict[str, object]:
        """The refusal in figures, for programs."""
        return {
            "scope": self.scope,
            "limit_of": "budget",
            "limit": str(pricing.to_decimal(self.limit_nano)),
            "used": str(pricing.to_decimal(self.spent_nano)),
            "held": str(pricing.to_decimal(self.held_nano)),
            "resets_at": self.renews_at.isoformat(),
            "remedy": "raise_budget_or_wait",
        }


def _show(amount_nano: int) -> Decimal:
    return pricing.to_decimal(amount_nano).quantize(Decimal("0.0001"))
