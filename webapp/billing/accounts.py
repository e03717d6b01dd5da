"""Opening accounts, crediting them, and the ledger of every movement of their money."""

from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum

from webapp.accounts.models import User
from webapp.billing import pricing
from webapp.billing.models import Account, LedgerEntry


def open_for(user: User, *, credit: Decimal) -> Account:
    """The user's account, opened with this credit when it is new; an account that exists is left as it is."""
    with transaction.atomic():
        account, is_new = Account.objects.get_or_create(
            user=user, defaults={"currency": settings.BILLING_CURRENCY}
        )
        if is_new and credit:
            add(account, pricing.to_nano(credit), kind=LedgerEntry.Kind.CREDIT, note="Sign-up credit")
            account.refresh_from_db()
        return account


def of(user: User) -> Account:
    """The user's account. Everyone has one from the start; a user made behind the ORM's back gets it now."""
    try:
        return Account.objects.get(user=user)
    except Account.DoesNotExist:
        return open_for(user, credit=sign_up_credit())


def open_for_new_user(*, instance: User, created: bool, raw: bool = False, **_signal: object) -> None:
    """Signal receiver: a user who was just made gets an account with the sign-up credit."""
    if created and not raw:
        open_for(instance, credit=sign_up_credit())


def sign_up_credit() -> Decimal:
    return Decimal(settings.SIGN_UP_CREDIT)


def credit(user: User, amount: Decimal, note: str) -> LedgerEntry:
    """Add money to the user's account, in its own currency. Raises ValueError unless there is some to add."""
    if amount <= 0:
        raise ValueError("A credit is more than zero; a correction takes money back.")
    with transaction.atomic():
        return add(of(user), pricing.to_nano(amount), kind=LedgerEntry.Kind.CREDIT, note=note)


def add(account: Account, amount_nano: int, *, kind: str, note: str) -> LedgerEntry:
    """One movement: the balance and its ledger entry change together. Call it inside a transaction."""
    Account.objects.filter(pk=account.pk).update(balance_nano=F("balance_nano") + amount_nano)
    return LedgerEntry.objects.create(account=account, kind=kind, amount_nano=amount_nano, note=note)


def ledger_total_nano(account: Account) -> int:
    """The sum of the account's ledger, which is its balance: tests and audits compare the two."""
    return account.ledger.aggregate(total=Sum("amount_nano"))["total"] or 0
