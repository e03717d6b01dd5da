"""What is paid outright and has no hold: a search that a program asks for, beside any turn."""

from django.db import transaction

from webapp.accounts.models import User
from webapp.billing import accounts, budgets, daily
from webapp.billing.models import Account, Budget, LedgerEntry
from webapp.billing.refusals import BudgetReached, DailyLimitReached, InsufficientFunds


def require(user: User, amount_nano: int) -> None:
    """Raises InsufficientFunds where the user could not pay as much now."""
    account = accounts.of(user)
    if account.balance_nano - account.held_nano < amount_nano:
        raise InsufficientFunds(needed_nano=amount_nano, account=account)
    today = daily.of(account)
    if today.left_nano is not None and today.left_nano < amount_nano:
        raise DailyLimitReached(needed_nano=amount_nano, account=account, today=today)
    for budget in _budgets(user, account):
        state = budgets.state(budget)
        if state.left_nano is not None and state.left_nano < amount_nano:
            raise BudgetReached(needed_nano=amount_nano, account=account, state=state)


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
        book = LedgerEntry.Book.REVENUE
        LedgerEntry.objects.create(
            account=account, kind=kind, book=book, amount_nano=-charged_nano, note=note
        )
        budgets.spend(_budgets(user, account), charged_nano)
        return charged_nano


def _budgets(user: User, account: Account) -> list[Budget]:
    return budgets.standing(budgets.scopes_of(user), currency=account.currency)
