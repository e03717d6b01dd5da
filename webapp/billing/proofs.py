"""The nightly proof: every sum of money is computed a second way, and the two must be the same.

What it finds is kept as a Proof, sound or not; one that is not sound raises an alarm.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db.models import F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from inference.schema import Usage
from webapp.billing import alarms, figures, prices, pricing, rollups
from webapp.billing.figures import Span
from webapp.billing.models import Account, Budget, Hold, LedgerEntry, Price, Proof, UsageRecord
from webapp.database_clock import FromNow

RECENT = timedelta(days=2)
ORPHAN_AFTER = timedelta(seconds=60)
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What must be, how many rows were looked at, and which are otherwise."""

    name: str
    num_checked: int
    num_wrong: int
    wrong: tuple[str, ...] = ()


def prove() -> Proof:
    """Check every claim, and keep what came of it."""
    started_at = time.monotonic()
    claims = [check() for check in CHECKS]
    is_sound = not any(claim.num_wrong for claim in claims)
    took_ms = int((time.monotonic() - started_at) * 1000)
    proof = Proof.objects.create(
        took_ms=took_ms, is_sound=is_sound, claims=[asdict(claim) for claim in claims]
    )
    if not is_sound:
        alarms.raise_proof(proof)
    return proof


def balances_are_their_ledgers() -> Claim:
    ledger = LedgerEntry.objects.filter(account=OuterRef("pk")).order_by().values("account")
    summed = Coalesce(Subquery(ledger.annotate(sum=Sum("amount_nano")).values("sum")), 0)
    accounts = Account.objects.annotate(summed=summed)
    wrong = accounts.exclude(balance_nano=F("summed"))
    return _claim("Each balance is the sum of its ledger", accounts.count(), (str(one) for one in wrong))


def both_sides_are_zero() -> Claim:
    """Accounts on the one side, the books of the platform on the other."""
    of_accounts = dict(Account.objects.order_by().values_list("currency").annotate(Sum("balance_nano")))
    books = LedgerEntry.objects.order_by().values_list("account__currency")
    of_books = dict(books.annotate(Sum("amount_nano")))
    currencies = of_accounts.keys() | of_books.keys()
    wrong = [one for one in currencies if of_accounts.get(one, 0) - of_books.get(one, 0)]
    return _claim("All accounts and books together are 0", len(currencies), wrong)


def held_money_is_of_open_holds() -> Claim:
    holds = Hold.objects.filter(account=OuterRef("pk"), status=Hold.Status.OPEN).order_by().values("account")
    summed = Coalesce(Subquery(holds.annotate(sum=Sum("amount_nano")).values("sum")), 0)
    accounts = Account.objects.annotate(summed=summed)
    wrong = accounts.exclude(held_nano=F("summed"))
    return _claim("What is held is held by open holds", accounts.count(), (str(one) for one in wrong))


def budgets_hold_the_same() -> Claim:
    links: Any = Hold.budgets.through.objects
    open_holds = (
        links.filter(budget=OuterRef("pk"), hold__status=Hold.Status.OPEN).order_by().values("budget")
    )
    summed = Coalesce(Subquery(open_holds.annotate(all=Sum("hold__amount_nano")).values("all")), 0)
    budgets = Budget.objects.annotate(summed=summed)
    wrong = budgets.exclude(held_nano=F("summed"))
    return _claim("What budgets hold is held by open holds", budgets.count(), (str(one) for one in wrong))


def no_hold_is_forgotten() -> Claim:
    holds = Hold.objects.filter(status=Hold.Status.OPEN)
    forgotten = holds.filter(expires_at__lt=FromNow(-ORPHAN_AFTER.total_seconds()))
    return _claim("No hold outlives its time", holds.count(), (str(one) for one in forgotten))


def each_bill_has_its_entry() -> Claim:
    """Of the last days: a record that cost something has one ledger entry of as much, and the other way."""
    since = timezone.now() - RECENT
    records = UsageRecord.objects.filter(created_at__gte=since)
    unpaid = records.filter(cost_nano__gt=0).exclude(hold__ledger_entry__amount_nano=-F("cost_nano"))
    entries = LedgerEntry.objects.filter(created_at__gte=since, hold__isnull=False)
    unsaid = entries.filter(hold__usage_record=None)
    wrong = [*(f"record {one.pk}" for one in unpaid[:SHOWN]), *(f"entry {one.pk}" for one in unsaid[:SHOWN])]
    return _claim("Each bill has its ledger entry", records.count() + entries.count(), wrong)


def each_settled_hold_has_its_record() -> Claim:
    settled = Hold.objects.filter(status=Hold.Status.SETTLED, created_at__gte=timezone.now() - RECENT)
    wrong = settled.filter(usage_record=None)
    return _claim("Each settled hold has its record", settled.count(), (str(one) for one in wrong))


def each_cost_is_its_tokens_at_its_price() -> Claim:
    """Of the last days. Less is right where the account had no more; that is told, not wrong."""
    records = UsageRecord.objects.filter(created_at__gte=timezone.now() - RECENT).order_by()
    rates = {price.pk: prices.rates_of(price) for price in Price.objects.all()}
    num_checked, wrong = 0, []
    columns = ("pk", "price_id", "cost_nano", "fees_nano", *Usage.__struct_fields__)
    for pk, price_id, cost_nano, fees_nano, *tokens in records.values_list(*columns).iterator():
        num_checked += 1
        usage = Usage(**dict(zip(Usage.__struct_fields__, tokens, strict=True)))
        if cost_nano > fees_nano + pricing.cost_nano(rates.get(price_id, pricing.FREE), usage):
            wrong.append(f"record {pk}")
    return _claim("No cost is more than its tokens at its price", num_checked, wrong)


def hours_are_their_records() -> Claim:
    """Of the last days: what the pages show is what the records say."""
    if rollups.standing() is None:
        return _claim("Summed hours are their records", 0, [])
    span = Span(first_day=timezone.localdate() - RECENT, last_day=timezone.localdate())
    shown = {line.currency: (line.num_records, line.cost_nano) for line in figures.total(span)}
    records = UsageRecord.objects.filter(created_at__gte=span.since, created_at__lt=span.until)
    summed = records.order_by().values("currency").annotate(**rollups.SUMS)
    rows: Any = summed  # with the sums as columns
    said = {row["currency"]: (row["num_records"], row["cost_nano_sum"]) for row in rows}
    wrong = [one for one in shown.keys() | said.keys() if shown.get(one) != said.get(one)]
    return _claim("Summed hours are their records", sum(count for count, _cost in said.values()), wrong)


CHECKS: tuple[Callable[[], Claim], ...] = (
    balances_are_their_ledgers,
    both_sides_are_zero,
    held_money_is_of_open_holds,
    budgets_hold_the_same,
    no_hold_is_forgotten,
    each_bill_has_its_entry,
    each_settled_hold_has_its_record,
    each_cost_is_its_tokens_at_its_price,
    hours_are_their_records,
)


def _claim(name: str, num_checked: int, wrong: Iterable[str]) -> Claim:
    found = list(wrong)
    return Claim(name=name, num_checked=num_checked, num_wrong=len(found), wrong=tuple(found[:SHOWN]))
