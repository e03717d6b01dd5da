"""Money in two phases: held before the first token, settled once after the last, or released.

`place` and `extend` reserve by one conditional update each, so any number of callers together never spend
what is not there. `settle` happens at most once a hold, whatever is called twice or dies in between.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from inference.schema import Usage
from webapp import database_clock
from webapp.accounts.models import ApiKey, User
from webapp.billing import accounts, budgets, daily, prices, pricing, quick_rows
from webapp.billing.budgets import BudgetIsSpent
from webapp.billing.models import Account, Budget, Hold, LedgerEntry, Price, UsageRecord
from webapp.billing.refusals import BudgetReached, DailyLimitReached, InsufficientFunds
from webapp.catalog.models import ServedModel
from webapp.database_clock import FromNow

logger = logging.getLogger(__name__)


class HoldIsSettled(Exception):
    """The hold was billed: its turn is over, and who still spends on it has lost it to another worker."""


class UnknownHold(Exception):
    """There is no hold of this id."""


def place(
    user: User,
    *,
    model: ServedModel,
    max_input_tokens: int,
    max_output_tokens: int,
    ttl: timedelta,
    api_key: ApiKey | None = None,
) -> Hold:
    """Set aside the most that one call can cost, at today's price; a free model holds 0.

    With a project's key its team pays. Raises InsufficientFunds or prices.PriceMissing, having changed
    nothing.
    """
    project = api_key.project if api_key else None
    account_id, currency = accounts.payer(user, project)
    scopes = budgets.scopes_of(user, api_key=api_key, project=project)
    counted = budgets.standing(scopes, currency=currency)
    now = timezone.now()
    price = prices.price_for(model, currency, now)
    amount_nano = pricing.most_nano(
        prices.rates_of(price), max_input_tokens=max_input_tokens, max_output_tokens=max_output_tokens
    )
    with quick_rows.transaction():
        _reserve(account_id, amount_nano, counted)
        hold = Hold(
            account_id=account_id,
            price=price,
            model=model,
            api_key=api_key,
            user=user,
            project=project,
            amount_nano=amount_nano,
            expires_at=database_clock.now() + ttl,
        )
        quick_rows.insert(hold)
        budgets.link(hold, counted)
        return hold


def extend(
    hold_id: UUID,
    *,
    spent: Usage,
    fees_nano: int = 0,
    max_input_tokens: int,
    max_output_tokens: int,
    ttl: timedelta,
) -> Hold:
    """Make an open hold cover what its turn has spent so far plus one more call, and live for another `ttl`.

    The amount may shrink: a call that ended early gives its rest back. Raises InsufficientFunds, and
    HoldIsSettled when it was billed.
    """
    with quick_rows.transaction():
        hold = _locked(hold_id)
        rates = prices.rates_of(hold.price) if hold.price else pricing.FREE
        hold.amount_nano = fees_nano + pricing.most_nano(
            rates, spent=spent, max_input_tokens=max_input_tokens, max_output_tokens=max_output_tokens
        )
        hold.status = Hold.Status.OPEN
        cover(hold_id, hold.amount_nano, ttl=ttl)
        return hold


def cover(hold_id: UUID, amount_nano: int, *, ttl: timedelta) -> None:
    """Make an open hold one of this amount: as `extend`, whose price is known already. This is done before
    each model call, so it says to the database itself what the ORM would take most of its time to write."""
    key = Hold._meta.pk.get_db_prep_value(hold_id, connection)
    with quick_rows.transaction(), connection.cursor() as cursor:
        cursor.execute(
            _FIND + connection.ops.for_update_sql() * connection.features.has_select_for_update, [key]
        )
        if (row := cursor.fetchone()) is None:
            raise UnknownHold(f"no hold {hold_id}")
        status, held_nano, account_id, is_budgeted = row
        if status == Hold.Status.SETTLED:
            raise HoldIsSettled(f"hold {hold_id} is settled")
        counted = budgets.of_hold(hold_id) if is_budgeted else []
        _reserve(account_id, amount_nano - (held_nano if status == Hold.Status.OPEN else 0), counted)
        expires = FromNow(ttl.total_seconds())
        statement = _COVER.format(expires=expires.sql(connection))
        cursor.execute(statement, [amount_nano, expires.parameter(connection), Hold.Status.OPEN.value, key])


_HOLDS, _ACCOUNTS = Hold._meta.db_table, Account._meta.db_table
_LINKS = Hold.budgets.through._meta.db_table
_FIND = (
    "SELECT status, amount_nano, account_id,"
    f" EXISTS (SELECT 1 FROM {_LINKS} WHERE hold_id = {_HOLDS}.id) FROM {_HOLDS} WHERE id = %s "
)
_MOVE = f"UPDATE {_ACCOUNTS} SET held_nano = held_nano + %s WHERE id = %s AND balance_nano >= held_nano + %s"
# What is held counts for the day it will be billed on, which may be today.
_TODAY = "CASE WHEN spent_on = %s THEN spent_today_nano ELSE 0 END + held_nano + %s"
_WITHIN_THE_DAY = (
    f" AND COALESCE(daily_limit_nano, %s) >= {_TODAY}"
    f" AND (own_daily_limit_nano IS NULL OR own_daily_limit_nano >= {_TODAY})"
)
_COVER = f"UPDATE {_HOLDS} SET amount_nano = %s, expires_at = {{expires}}, status = %s WHERE id = %s"


def amount_of(hold_id: UUID) -> int:
    """What the hold has set aside now."""
    amounts = Hold.objects.filter(id=hold_id, status=Hold.Status.OPEN).values_list("amount_nano", flat=True)
    return amounts.first() or 0


def keep(hold_id: UUID, *, ttl: timedelta) -> bool:
    """Let an open hold live for another `ttl`; False when it is open no more."""
    held = Hold.objects.filter(id=hold_id, status=Hold.Status.OPEN)
    return held.update(expires_at=FromNow(ttl.total_seconds())) == 1


def settle(
    hold_id: UUID,
    *,
    usage: Usage,
    fees_nano: int = 0,
    source: str,
    reference: str,
    finish_reason: str,
    num_steps: int = 1,
    num_tool_calls: int = 0,
    first_token_ms: int | None = None,
    duration_ms: int | None = None,
    is_estimated: bool = False,
) -> UsageRecord:
    """Bill this usage at the hold's price and what its tools cost, give back the rest, record it. Again:
    returns the first's record.

    A hold that ran out and was released in between is billed all the same, from what is free. Never more is
    taken than the account has: a backend that counts more than it was asked for is the platform's loss.
    """
    with quick_rows.transaction():
        hold = _locked(hold_id)
        if hold.status == Hold.Status.SETTLED:
            return UsageRecord.objects.get(hold=hold)
        charged_nano = _charge(hold, usage, fees_nano)
        hold.status = Hold.Status.SETTLED
        quick_rows.update(hold, "status")
        record = UsageRecord(
            user_id=_whose(hold),
            api_key_id=hold.api_key_id,
            project_id=hold.project_id,
            model_id=hold.model_id,
            source=source,
            hold=hold,
            reference=reference,
            finish_reason=finish_reason,
            input_uncached_tokens=usage.input_uncached_tokens,
            input_cached_tokens=usage.input_cached_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            num_steps=num_steps,
            num_tool_calls=num_tool_calls,
            first_token_ms=first_token_ms,
            duration_ms=duration_ms,
            is_estimated=is_estimated,
            price=hold.price,
            currency=hold.price.currency if hold.price else hold.account.currency,
            cost_nano=charged_nano,
            fees_nano=min(fees_nano, charged_nano),
        )
        quick_rows.insert(record)
        return record


def release(hold_id: UUID) -> bool:
    """Give the whole hold back, unbilled; False when it was settled or released before."""
    with quick_rows.transaction():
        hold = _locked(hold_id)
        if hold.status != Hold.Status.OPEN:
            return False
        hold.status = Hold.Status.RELEASED
        hold.save(update_fields=["status"])
        _reserve(hold.account_id, -hold.amount_nano, budgets.of_hold(hold_id))
        return True


def release_expired() -> int:
    """Release the holds whose owners died: how many. Safe to run from several sweeps at once."""
    expired = Hold.objects.filter(status=Hold.Status.OPEN, expires_at__lt=FromNow())
    num_released = 0
    for hold_id in list(expired.values_list("id", flat=True)[:500]):
        num_released += release(hold_id)
    if num_released:
        logger.warning("released %d expired holds", num_released)
    return num_released


def _locked(hold_id: UUID) -> Hold:
    """The hold, locked until the transaction ends. Always before its account: nobody waits in a circle."""
    hold = quick_rows.read(Hold, hold_id, is_locked=True)
    if hold is None:
        raise UnknownHold(f"no hold {hold_id}")
    if hold.price_id is not None:
        hold.price = quick_rows.read(Price, hold.price_id)
    return hold


def _reserve(account_id: int, amount_nano: int, counted: Sequence[Budget]) -> None:
    """Move free money of the account into its holds (back, when negative), or raise InsufficientFunds; a
    daily limit or a budget stands in the way of more, never of less. The account first, then its budgets:
    nobody waits in a circle."""
    if amount_nano == 0:
        return
    _reserve_of_account(account_id, amount_nano)
    try:
        budgets.reserve(counted, amount_nano)
    except BudgetIsSpent as fault:
        account = Account.objects.get(pk=account_id)
        raise BudgetReached(needed_nano=amount_nano, account=account, state=fault.state) from None


def _reserve_of_account(account_id: int, amount_nano: int) -> None:
    """Said to the database itself: it is done before each model call."""
    statement = _MOVE
    values: list[Any] = [amount_nano, account_id, amount_nano]
    if amount_nano > 0:
        today = Account._meta.get_field("spent_on").get_db_prep_value(timezone.localdate(), connection)
        statement += _WITHIN_THE_DAY
        values += [daily.limit_of_all(), today, amount_nano, today, amount_nano]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        if cursor.rowcount:
            return
    account = Account.objects.get(pk=account_id)
    day = daily.of(account)
    has_money = account.balance_nano - account.held_nano >= amount_nano
    if has_money and day.left_nano is not None and day.left_nano < amount_nano:
        raise DailyLimitReached(needed_nano=amount_nano, account=account, today=day)
    raise InsufficientFunds(needed_nano=amount_nano, account=account)


def _whose(hold: Hold) -> int:
    assert hold.user_id is not None  # NULL was before holds named their user, and was filled in
    return hold.user_id


def _charge(hold: Hold, usage: Usage, fees_nano: int) -> int:
    """Take the usage's cost and the fees from the account, with the hold's reservation: what was taken."""
    held_nano = hold.amount_nano if hold.status == Hold.Status.OPEN else 0
    cost_nano = fees_nano + (pricing.cost_nano(prices.rates_of(hold.price), usage) if hold.price else 0)
    if held_nano == cost_nano == 0:
        return 0
    account = quick_rows.read(Account, hold.account_id, is_locked=True)
    assert account is not None  # the hold protects it
    charged_nano = min(cost_nano, account.balance_nano - account.held_nano + held_nano)
    if charged_nano < cost_nano:
        logger.warning(
            "hold %s: cost %d exceeds what the account has, charged %d", hold.id, cost_nano, charged_nano
        )
    account.balance_nano -= charged_nano
    account.held_nano -= held_nano
    daily.count(account, charged_nano)
    quick_rows.update(account, "balance_nano", "held_nano", "spent_on", "spent_today_nano")
    budgets.spend(budgets.of_hold(hold.id), charged_nano, held_nano=held_nano)
    if charged_nano:
        entry = LedgerEntry(
            account=account,
            kind=LedgerEntry.Kind.USAGE,
            book=LedgerEntry.Book.REVENUE,
            amount_nano=-charged_nano,
            hold=hold,
            note=hold.model.name,
        )
        quick_rows.insert(entry)
    return charged_nano
