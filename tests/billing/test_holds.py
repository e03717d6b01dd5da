"""Money in two phases: nothing overspent, nothing charged twice, nothing lost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from inference.schema import Usage
from tests.billing.conftest import TTL
from webapp.accounts.append_only import RowIsFinal
from webapp.billing import accounts, estimates, holds, pricing, refusals
from webapp.billing.models import Account, Hold, LedgerEntry, Price, UsageRecord
from webapp.billing.prices import PriceMissing

USAGE = Usage(input_uncached_tokens=1_000, input_cached_tokens=500, output_tokens=2_000, reasoning_tokens=900)
COST_NANO = 1_000 * 600 + 500 * 150 + 2_000 * 2_500


def place(user, model, *, input_tokens=2_000, output_tokens=4_000):
    return holds.place(
        user, model=model, max_input_tokens=input_tokens, max_output_tokens=output_tokens, ttl=TTL
    )


def settle(hold, usage=USAGE):
    return holds.settle(hold.id, usage=usage, source="api", reference="r", finish_reason="stop", num_steps=1)


def free_nano(user):
    account = Account.objects.get(user=user)
    return account.balance_nano - account.held_nano


def test_a_new_user_has_an_account_with_the_sign_up_credit(carol):
    account = accounts.of(carol)
    assert pricing.to_decimal(account.balance_nano) == Decimal(5)
    assert accounts.ledger_total_nano(account) == account.balance_nano


def test_settling_bills_the_usage_at_the_price_of_the_hold_and_frees_the_rest(carol, kimi):
    before = free_nano(carol)
    hold = place(carol, kimi)
    assert free_nano(carol) == before - (2_000 * 600 + 4_000 * 2_500)
    Price.objects.create(
        model=kimi,
        currency="USD",
        input_per_million=9,
        cached_input_per_million=9,
        output_per_million=9,
        valid_from=timezone.now(),
    )
    record = settle(hold)
    assert (record.cost_nano, record.price) == (COST_NANO, hold.price)
    assert free_nano(carol) == before - COST_NANO == accounts.ledger_total_nano(accounts.of(carol))


def test_settling_twice_charges_once_and_returns_the_same_record(carol, kimi):
    hold = place(carol, kimi)
    first = settle(hold)
    again = settle(hold, Usage(output_tokens=4_000))
    assert first.pk == again.pk
    assert UsageRecord.objects.count() == LedgerEntry.objects.filter(kind="usage").count() == 1
    assert not holds.release(hold.id)
    assert free_nano(carol) == 5 * 10**9 - COST_NANO


def test_a_settled_hold_is_never_opened_again(carol, kimi):
    hold = place(carol, kimi)
    settle(hold)
    with pytest.raises(holds.HoldIsSettled):
        holds.extend(hold.id, spent=USAGE, max_input_tokens=100, max_output_tokens=100, ttl=TTL)
    assert free_nano(carol) == 5 * 10**9 - COST_NANO


def test_an_account_that_cannot_cover_the_hold_is_told_the_numbers(carol, kimi):
    with pytest.raises(refusals.InsufficientFunds, match=r"up to 5\.1200 USD.*5\.0000 USD free"):
        place(carol, kimi, input_tokens=200_000, output_tokens=2_000_000)
    assert Hold.objects.count() == 0
    assert free_nano(carol) == 5 * 10**9


def test_a_free_model_holds_nothing_and_is_counted(carol, scripted_model):
    hold = place(carol, scripted_model)
    record = settle(hold)
    assert (hold.amount_nano, record.cost_nano, record.output_tokens) == (0, 0, 2_000)


def test_a_model_without_a_price_is_not_sold(carol, kimi):
    Price.objects.all().delete()
    with pytest.raises(PriceMissing, match="no price in USD"):
        place(carol, kimi)


def test_a_hold_grows_and_shrinks_with_its_turn(carol, kimi):
    hold = place(carol, kimi, input_tokens=0, output_tokens=1_000)
    grown = holds.extend(hold.id, spent=USAGE, max_input_tokens=100, max_output_tokens=100, ttl=TTL)
    assert grown.amount_nano == COST_NANO + 100 * 600 + 100 * 2_500
    assert Account.objects.get(user=carol).held_nano == grown.amount_nano
    with pytest.raises(refusals.InsufficientFunds):
        holds.extend(hold.id, spent=USAGE, max_input_tokens=10**7, max_output_tokens=0, ttl=TTL)
    holds.extend(hold.id, spent=USAGE, max_input_tokens=0, max_output_tokens=0, ttl=TTL)
    assert Account.objects.get(user=carol).held_nano == COST_NANO


def test_an_expired_hold_is_released_and_still_billed_when_its_owner_comes_back(carol, kimi):
    hold = place(carol, kimi)
    Hold.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert holds.release_expired() == 1
    assert holds.release_expired() == 0
    assert free_nano(carol) == 5 * 10**9
    assert not holds.keep(hold.id, ttl=TTL)
    settle(hold)
    assert free_nano(carol) == 5 * 10**9 - COST_NANO


def test_a_backend_that_counts_too_much_never_overdraws(carol, kimi):
    hold = place(carol, kimi)
    record = settle(hold, Usage(output_tokens=10**10))
    assert record.cost_nano == 5 * 10**9
    assert Account.objects.get(user=carol).balance_nano == 0


def test_what_was_billed_cannot_be_edited_or_deleted(carol, kimi):
    record = settle(place(carol, kimi))
    record.cost_nano = 0
    for attempt in (record.save, record.delete, LedgerEntry.objects.latest("id").delete):
        with pytest.raises(RowIsFinal):
            attempt()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        UsageRecord.objects.update(cost_nano=0)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        UsageRecord.objects.update(fees_nano=1)


@pytest.mark.django_db(transaction=True)
def test_many_callers_of_a_nearly_empty_account_together_overspend_nothing(carol, kimi):
    share_nano = 1_000 * 2_500
    Account.objects.filter(user=carol).update(balance_nano=10 * share_nano + 1)

    def call(number):
        try:
            hold = place(carol, kimi, input_tokens=0, output_tokens=1_000)
            if number % 3 == 0:
                holds.release(hold.id)
            else:
                settle(hold, Usage(output_tokens=1_000))
        except refusals.InsufficientFunds:
            return "refused"
        finally:
            connection.close()
        return "released" if number % 3 == 0 else "billed"

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(call, range(60)))
    account = Account.objects.get(user=carol)
    assert ends.count("billed") == 10
    assert (account.balance_nano, account.held_nano) == (1, 0)
    assert UsageRecord.objects.count() == 10


@pytest.mark.django_db(transaction=True)
def test_settling_from_many_places_at_once_charges_once(carol, kimi):
    hold = place(carol, kimi)

    def call(_number):
        try:
            return settle(hold).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(call, range(12)))) == 1
    assert free_nano(carol) == 5 * 10**9 - COST_NANO


def test_the_bound_of_a_prompt_stops_at_the_context():
    assert estimates.most_input_tokens([], context_tokens=100) == 100
    assert estimates.estimated_tokens("four words of text") == 5
    assert estimates.estimated_tokens("你好吗") == 2


def test_a_worker_whose_clock_is_wrong_lets_no_hold_run_out_early_or_late(carol, kimi, monkeypatch):
    right = timezone.now
    for wrong_by in (timedelta(hours=-3), timedelta(hours=3)):
        monkeypatch.setattr(timezone, "now", lambda wrong_by=wrong_by: right() + wrong_by)
        hold = holds.place(carol, model=kimi, max_input_tokens=9, max_output_tokens=9, ttl=TTL)
        assert abs(Hold.objects.get(pk=hold.pk).expires_at - right() - TTL) < timedelta(minutes=2)
        assert holds.release_expired() == 0
        holds.extend(hold.pk, spent=Usage(), max_input_tokens=9, max_output_tokens=9, ttl=-TTL)
        assert holds.release_expired() == 1
        assert not holds.keep(hold.pk, ttl=TTL)
