"""Opening accounts, crediting them, and the ledger of every movement of their money. A person has one from
the start, a team from its first need; what a key of a project costs is paid by the project's team."""

from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Sum

from webapp.accounts.models import Project, Team, User
from webapp.billing import pricing
from webapp.billing.models import Account, LedgerEntry

Kind, Book = LedgerEntry.Kind, LedgerEntry.Book


def open_for(user: User, *, credit: Decimal) -> Account:
    """The user's account, opened with this credit when it is new; an account that exists is left as it is."""
    with transaction.atomic():
        account, is_new = Account.objects.get_or_create(
            user=user, defaults={"currency": settings.BILLING_CURRENCY}
        )
        if is_new and credit:
            add(account, pricing.to_nano(credit), kind=Kind.CREDIT, book=Book.GIFTS, note="Sign-up credit")
            account.refresh_from_db()
        return account


def of(user: User) -> Account:
    """The user's account. Everyone has one from the start; a user made behind the ORM's back gets it now."""
    try:
        return Account.objects.get(user=user)
    except Account.DoesNotExist:
        return open_for(user, credit=sign_up_credit())


def of_team(team: Team) -> Account:
    account, _is_new = Account.objects.get_or_create(
        team=team, defaults={"currency": settings.BILLING_CURRENCY}
    )
    return account


def paying(user: User, project: Project | None) -> Account:
    """Whose money pays for what the user does, for this project or for themselves."""
    return of(user) if project is None else of_team(project.team)


def payer(user: User, project: Project | None) -> tuple[int, str]:
    """The account that pays, as `paying` has it, and its currency: asked before each request."""
    column, owner = ("user_id", user.pk) if project is None else ("team_id", project.team_id)
    if isinstance(owner, UUID):
        owner = Team._meta.pk.get_db_prep_value(owner, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, currency FROM {Account._meta.db_table} WHERE {column} = %s", [owner])
        found = cursor.fetchone()
    if found is None:
        account = paying(user, project)
        return account.pk, account.currency
    return int(found[0]), str(found[1])


def open_for_new_user(*, instance: User, created: bool, raw: bool = False, **_signal: object) -> None:
    """Signal receiver: a user who was just made gets an account with the sign-up credit."""
    if created and not raw:
        open_for(instance, credit=sign_up_credit())


def sign_up_credit() -> Decimal:
    return Decimal(settings.SIGN_UP_CREDIT)


def credit(user: User, amount: Decimal, note: str) -> LedgerEntry:
    """Give the user's account money, in its own currency. Raises ValueError unless there is some to add."""
    return give(of(user), amount, note)


def give(account: Account, amount: Decimal, note: str) -> LedgerEntry:
    """Add money that nobody paid for. Raises ValueError unless there is some to add."""
    return _put(account, amount, kind=Kind.CREDIT, book=Book.GIFTS, note=note)


def top_up(account: Account, amount: Decimal, note: str) -> LedgerEntry:
    """Add money that was paid for. Raises ValueError unless there is some to add."""
    return _put(account, amount, kind=Kind.TOP_UP, book=Book.CASH, note=note)


def correct(account: Account, amount_nano: int, note: str) -> LedgerEntry:
    """Give money, or take it back when negative. Raises IntegrityError for more than is free."""
    with transaction.atomic():
        return add(account, amount_nano, kind=Kind.CORRECTION, book=Book.CORRECTIONS, note=note)


def _put(account: Account, amount: Decimal, *, kind: str, book: str, note: str) -> LedgerEntry:
    if amount <= 0:
        raise ValueError("A credit is more than zero; a correction takes money back.")
    with transaction.atomic():
        return add(account, pricing.to_nano(amount), kind=kind, book=book, note=note)


def add(account: Account, amount_nano: int, *, kind: str, book: str, note: str) -> LedgerEntry:
    """One movement: the balance and its ledger entry change together. Call it inside a transaction."""
    Account.objects.filter(pk=account.pk).update(balance_nano=F("balance_nano") + amount_nano)
    return LedgerEntry.objects.create(
        account=account, kind=kind, book=book, amount_nano=amount_nano, note=note
    )


def topped_up_nano(account: Account) -> int:
    """All that was paid into it, cash and vouchers: what plans go by."""
    paid = account.ledger.filter(kind__in=(Kind.TOP_UP, Kind.VOUCHER))
    return paid.aggregate(total=Sum("amount_nano"))["total"] or 0


def ledger_total_nano(account: Account) -> int:
    """The sum of the account's ledger, which is its balance: tests and audits compare the two."""
    return account.ledger.aggregate(total=Sum("amount_nano"))["total"] or 0
