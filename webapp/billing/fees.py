"""What is paid outright and has no hold: a search that a program asks for, beside any turn."""

from django.db import transaction

from webapp.accounts.models import User
from webapp.billing import accounts, daily
from webapp.billing.holds import DailyLimitReached, InsufficientFunds
from webapp.billing.models import Account, LedgerEntry


def require(user: User, amount_nano: int) -> None:
    """Raises InsufficientFunds where the user could not pay as much now."""
    account = accounts.of(user)
    if account.balance_nano - account.held_nano < amount_nano:
        raise InsufficientFunds(needed_nano=amount_nano, account=account)
    today = daily.of(account)
    if today.left_nano is not None and today.left_nano < amount_nano:
        raise DailyLimitReached(needed_nano=amount_nano, account=account, today=today)


def charge(user: User, amount_nano: int, *, note: str) -> int:
    """Take it from what is free, and say so in the ledger: what was taken. Never more than there is."""
    with transaction.atomic():
        account = Account.objects.select_for_update().get(pk=accounts.of(user).pk)
        charged_nano = min(amount_nano, account.balance_nano - account.held_nano)
        if charged_nano <= 0:
            return 0
        account.balance_nano -= charged_nano
        daily.count(account, charged_nano)
        account.save(update_fields=["balance_nano", "spent_on", "spent_today_nano"])
        kind = LedgerEntry.Kind.USAGE
        LedgerEntry.objects.create(account=account, kind=kind, amount_nano=-charged_nano, note=note)
        return charged_nano
