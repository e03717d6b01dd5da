"""What an account may spend in a day: the operator's limit and its owner's own. A day ends at midnight in the
platform's time zone. What is held counts, too, until it is billed or given back."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from webapp.billing import pricing
from webapp.billing.models import Account

NO_LIMIT_NANO = 10**18


@dataclass(frozen=True, kw_only=True)
class Today:
    """`limit_nano` is the tighter of the two limits, None without any; `is_own`: it is the owner's."""

    limit_nano: int | None
    is_own: bool
    spent_nano: int
    held_nano: int
    renews_at: datetime

    @property
    def left_nano(self) -> int | None:
        """What more may be held; None: as much as there is."""
        if self.limit_nano is None:
            return None
        return max(self.limit_nano - self.spent_nano - self.held_nano, 0)


def of(account: Account) -> Today:
    now = timezone.localtime()
    given = account.daily_limit_nano
    given = limit_of_all() if given is None else given
    own = account.own_daily_limit_nano
    is_own = own is not None and own < given
    limit = own if own is not None and is_own else given
    return Today(
        limit_nano=None if limit >= NO_LIMIT_NANO else limit,
        is_own=is_own,
        spent_nano=account.spent_today_nano if account.spent_on == now.date() else 0,
        held_nano=account.held_nano,
        renews_at=_next_midnight(now),
    )


def count(account: Account, charged_nano: int) -> None:
    """Count what is being billed now. The caller holds the account's row, and saves it."""
    today = timezone.localdate()
    if account.spent_on != today:
        account.spent_on, account.spent_today_nano = today, 0
    account.spent_today_nano += charged_nano


def limit_of_all() -> int:
    """The limit of an account for which the operator has set none."""
    default: Decimal | None = settings.DAILY_LIMIT
    return NO_LIMIT_NANO if default is None else pricing.to_nano(default)


def set_limit(account: Account, amount: Decimal | None) -> None:
    """The operator's word; None: as for everybody."""
    _set(account, daily_limit_nano=_nano(amount))


def set_own_limit(account: Account, amount: Decimal | None) -> None:
    """The owner's word; None: no limit beside the operator's."""
    _set(account, own_daily_limit_nano=_nano(amount))


def _set(account: Account, **changes: int | None) -> None:
    """Saved as a row, and not by an update alone: the audit log tells of it."""
    with transaction.atomic():
        row = Account.objects.select_for_update().get(pk=account.pk)
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=list(changes))


def _nano(amount: Decimal | None) -> int | None:
    return None if amount is None else pricing.to_nano(amount)


def _next_midnight(now: datetime) -> datetime:
    """Also where the clock is put forward or back in between."""
    tomorrow = now.date() + timedelta(days=1)
    return timezone.make_aware(datetime.combine(tomorrow, datetime.min.time()))
