"""What an account may spend in a day: never more, by however many at once, and said in words that help."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from inference.schema import Usage
from tests.billing.conftest import TTL
from webapp.accounts.models import User
from webapp.api import errors
from webapp.billing import accounts, daily, holds, refusals
from webapp.billing.models import Account, Hold
from webapp.catalog.models import ServedModel

CENT = 10_000_000
FOUR_THOUSAND = Usage(output_tokens=4_000)  # a cent at $2.50 a million


def place(user: User, model: ServedModel, *, cents: int = 1) -> Hold:
    return holds.place(user, model=model, max_input_tokens=0, max_output_tokens=4_000 * cents, ttl=TTL)


def settle(hold: Hold, *, cents: int = 1) -> None:
    usage = Usage(output_tokens=4_000 * cents)
    holds.settle(hold.id, usage=usage, source="api", reference="r", finish_reason="stop")


def test_spent_and_held_together_stay_within_the_day(carol: User, kimi: ServedModel) -> None:
    daily.set_limit(accounts.of(carol), Decimal("0.03"))
    settle(place(carol, kimi))
    place(carol, kimi)
    last = place(carol, kimi)
    with pytest.raises(refusals.DailyLimitReached) as refused:
        place(carol, kimi)
    assert (refused.value.needed_nano, refused.value.available_nano) == (CENT, 0)
    holds.release(last.id)
    place(carol, kimi)


def test_what_was_held_and_not_used_may_be_spent_again(carol: User, kimi: ServedModel) -> None:
    daily.set_limit(accounts.of(carol), Decimal("0.03"))
    for _ in range(3):
        settle(place(carol, kimi, cents=1), cents=1)
    with pytest.raises(refusals.DailyLimitReached):
        place(carol, kimi)
    assert accounts.of(carol).spent_today_nano == 3 * CENT


def test_a_growing_hold_is_refused_and_a_shrinking_one_never(carol: User, kimi: ServedModel) -> None:
    hold = place(carol, kimi, cents=2)
    daily.set_limit(accounts.of(carol), Decimal("0.01"))
    with pytest.raises(refusals.DailyLimitReached):
        holds.cover(hold.id, 3 * CENT, ttl=TTL)
    holds.cover(hold.id, CENT, ttl=TTL)
    assert accounts.of(carol).held_nano == CENT


def test_the_tighter_limit_holds_and_names_its_owner(carol: User, kimi: ServedModel) -> None:
    account = accounts.of(carol)
    daily.set_limit(account, Decimal("0.03"))
    daily.set_own_limit(account, Decimal("0.01"))
    with pytest.raises(refusals.DailyLimitReached, match="your own daily limit is 0.0100 USD"):
        place(carol, kimi, cents=2)
    daily.set_own_limit(account, Decimal(9))
    with pytest.raises(refusals.DailyLimitReached, match=r"the daily limit of this account is 0\.0300 USD"):
        place(carol, kimi, cents=4)


def test_zero_is_a_limit_and_none_is_none(carol: User, kimi: ServedModel) -> None:
    account = accounts.of(carol)
    daily.set_limit(account, Decimal(0))
    with pytest.raises(refusals.DailyLimitReached):
        place(carol, kimi)
    daily.set_limit(account, None)
    place(carol, kimi)


def test_the_platforms_limit_is_for_accounts_that_have_none(
    carol: User, kimi: ServedModel, settings: pytest.FixtureRequest
) -> None:
    settings.DAILY_LIMIT = Decimal("0.01")  # type: ignore[attr-defined]
    with pytest.raises(refusals.DailyLimitReached):
        place(carol, kimi, cents=2)
    daily.set_limit(accounts.of(carol), Decimal("0.05"))
    place(carol, kimi, cents=2)


def test_a_new_day_begins_at_nothing(carol: User, kimi: ServedModel) -> None:
    daily.set_limit(accounts.of(carol), Decimal("0.01"))
    settle(place(carol, kimi))
    with pytest.raises(refusals.DailyLimitReached) as refused:
        place(carol, kimi)
    renews = timezone.localtime(refused.value.renews_at)
    assert (renews.date(), renews.time().isoformat()) == (
        timezone.localdate() + timedelta(days=1),
        "00:00:00",
    )
    assert "renews at" in str(refused.value)
    Account.objects.update(spent_on=timezone.localdate() - timedelta(days=1))
    settle(place(carol, kimi))
    assert accounts.of(carol).spent_today_nano == CENT


def test_an_empty_account_is_told_to_be_empty_whatever_the_day_allows(carol: User, kimi: ServedModel) -> None:
    daily.set_limit(accounts.of(carol), Decimal("0.01"))
    Account.objects.update(balance_nano=0)
    with pytest.raises(refusals.InsufficientFunds) as refused:
        place(carol, kimi, cents=2)
    assert not isinstance(refused.value, refusals.DailyLimitReached)


@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_hold_more_than_the_day_allows(carol: User, kimi: ServedModel) -> None:
    daily.set_limit(accounts.of(carol), Decimal("0.05"))

    def try_one(_: int) -> bool:
        try:
            place(carol, kimi)
        except refusals.DailyLimitReached:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(try_one, range(16)))
    assert placed.count(True) == 5
    assert accounts.of(carol).held_nano == 5 * CENT


def test_over_rest_it_is_a_refusal_that_no_client_repeats(carol: User, kimi: ServedModel) -> None:
    daily.set_limit(accounts.of(carol), Decimal("0.01"))
    with pytest.raises(refusals.DailyLimitReached) as refused:
        place(carol, kimi, cents=2)
    error = errors.of_refusal(refused.value)
    assert (error.status, error.should_retry) == (429, False)
    assert error.body["error"]["code"] == "daily_limit_reached"
    assert error.body["error"]["type"] == "insufficient_quota"
    assert 0 < int(error.headers["retry-after"]) <= 86_401
