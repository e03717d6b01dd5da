"""Vouchers, receipts, summed hours, alarms, invoices, dry runs and the proof of all sums."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from inference.schema import Usage
from tests.billing.conftest import TTL
from webapp.billing import (
    accounts,
    alarms,
    budgets,
    figures,
    holds,
    invoices,
    proofs,
    receipts,
    repricing,
    rollups,
    vouchers,
)
from webapp.billing.figures import Span
from webapp.billing.models import Account, Alarm, LedgerEntry, Proof, Rollup, UsageDay, UsageHour, UsageRecord
from webapp.billing.pricing import Rates

USAGE = Usage(input_uncached_tokens=1_000, input_cached_tokens=500, output_tokens=2_000, reasoning_tokens=900)


def spend(user, model, *, output_tokens=2_000, reference="r", finish_reason="stop"):
    hold = holds.place(user, model=model, max_input_tokens=2_000, max_output_tokens=output_tokens, ttl=TTL)
    usage = Usage(
        input_uncached_tokens=1_000,
        input_cached_tokens=500,
        output_tokens=output_tokens,
        reasoning_tokens=min(900, output_tokens),
    )
    return holds.settle(
        hold.id,
        usage=usage,
        source="api",
        reference=reference,
        finish_reason=finish_reason,
        first_token_ms=400,
        duration_ms=2_000,
        num_tool_calls=3,
    )


@pytest.fixture
def at(monkeypatch):
    """Lets what follows happen at another time."""

    def move(when):
        monkeypatch.setattr(timezone, "now", lambda: when)

    return move


# ---- vouchers


def test_a_voucher_is_worth_its_amount_once(carol, bob):
    voucher, code = vouchers.create(Decimal("2.50"), currency="USD")
    assert code not in (voucher.code_hash, voucher.prefix)
    vouchers.redeem(accounts.of(carol), code.lower().replace("-", " "))
    assert accounts.of(carol).balance_nano == 7_500_000_000 == accounts.ledger_total_nano(accounts.of(carol))
    with pytest.raises(vouchers.NotRedeemable):
        vouchers.redeem(accounts.of(bob), code)


def test_a_voucher_is_refused_in_words_when_unknown_expired_or_foreign(carol):
    _, old = vouchers.create(Decimal(1), currency="USD", expires_at=timezone.now() - timedelta(days=1))
    _, foreign = vouchers.create(Decimal(1), currency="CNY")
    for code in ("ABCDE-ABCDE-ABCDE-ABCDE", "", "\udcff", old, foreign):
        with pytest.raises(vouchers.NotRedeemable):
            vouchers.redeem(accounts.of(carol), code)
    assert accounts.of(carol).balance_nano == 5_000_000_000


@pytest.mark.django_db(transaction=True)
def test_of_many_who_bring_a_code_at_once_one_gets_the_money(carol):
    _, code = vouchers.create(Decimal(1), currency="USD")

    def bring(_index):
        try:
            vouchers.redeem(accounts.of(carol), code)
        except vouchers.NotRedeemable:
            return 0
        finally:
            connection.close()
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(bring, range(16))) == 1
    assert accounts.of(carol).balance_nano == 6_000_000_000


# ---- receipts


def test_a_receipt_can_be_computed_again_and_only_what_we_signed_is_genuine(carol, kimi, bob):
    record = spend(carol, kimi, reference="chatcmpl-1")
    receipt = receipts.of(carol, "chatcmpl-1")
    assert receipt is not None
    assert receipt == receipts.of(carol, str(record.hold_id))
    assert receipts.is_genuine(receipt)
    assert receipts.recomputed(receipt) == Decimal(receipt["charged"]) == Decimal("0.005675")
    assert receipt["ledger_entry"] == LedgerEntry.objects.get(hold=record.hold).pk
    assert not receipts.is_genuine({**receipt, "charged": "0"})
    assert not receipts.is_genuine({**receipt, "signature": {"value": "!"}})
    assert receipts.of(bob, "chatcmpl-1") is None


def test_a_receipt_outlives_its_key_while_that_is_kept(carol, kimi, settings):
    spend(carol, kimi, reference="chatcmpl-1")
    receipt = receipts.of(carol, "chatcmpl-1")
    assert receipt is not None
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "of now", [settings.SECRET_KEY]
    assert receipts.is_genuine(receipt)
    settings.SECRET_KEY_FALLBACKS = []
    assert not receipts.is_genuine(receipt)


# ---- figures


def test_figures_are_the_same_before_and_after_hours_are_summed_up(carol, bob, kimi):
    for user in (carol, carol, bob):
        spend(user, kimi)
    spend(bob, kimi, finish_reason="error")
    today = timezone.localdate()
    span = Span(first_day=today - timedelta(days=1), last_day=today + timedelta(days=1))
    groupings: list[tuple[figures.Grouping, ...]] = [
        (),
        ("day",),
        ("model",),
        ("user",),
        ("day", "model"),
        ("hour",),
        ("source",),
        ("key",),
    ]
    before = [figures.by(span, *groups) for groups in groupings]
    assert rollups.roll_up(now=timezone.now() + timedelta(hours=2)) == 2
    assert rollups.roll_up(now=timezone.now() + timedelta(hours=2)) == 0
    assert [figures.by(span, *groups) for groups in groupings] == before
    (line,) = before[0]
    assert (line.num_records, line.num_errors, line.num_tool_calls, line.num_timed) == (4, 1, 12, 4)
    assert line.cost_nano == sum(UsageRecord.objects.values_list("cost_nano", flat=True))


def test_an_hour_is_summed_up_once_it_is_over_and_records_since_are_seen(carol, kimi):
    spend(carol, kimi)
    assert rollups.roll_up() == 0 or UsageHour.objects.exists()
    rollups.roll_up(now=timezone.now() + timedelta(hours=2))
    yesterday = timezone.localdate() - timedelta(days=1)
    Rollup.objects.update(done_before=rollups.midnight(yesterday), days_done_before=yesterday)
    UsageHour.objects.all().delete()
    UsageDay.objects.all().delete()  # there is one in the last two hours of a day
    spend(carol, kimi)
    span = Span(first_day=timezone.localdate(), last_day=timezone.localdate())
    assert figures.total(span)[0].num_records == 2


def test_a_dry_run_says_what_another_price_would_have_come_to_and_changes_nothing(carol, kimi):
    record = spend(carol, kimi)
    span = Span(first_day=timezone.localdate(), last_day=timezone.localdate())
    rates = Rates.per_million(uncached=Decimal("0.60"), cached=Decimal("0.15"), output=Decimal(5))
    run = repricing.dry_run(kimi, rates, currency="USD", span=span)
    assert (run.num_records, run.billed) == (1, Decimal("0.005675"))
    assert run.difference == Decimal("0.005")
    assert UsageRecord.objects.get().cost_nano == record.cost_nano


# ---- alarms


def test_a_soft_budget_is_warned_of_once_a_period_and_refuses_nothing(carol, kimi):
    budgets.set_for("user", str(carol.pk), period="month", currency="USD", soft=Decimal("0.005"), hard=None)
    assert alarms.check_budgets() == 0
    spend(carol, kimi)
    assert [alarms.check_budgets(), alarms.check_budgets()] == [1, 0]
    assert "carol" in Alarm.objects.get().text
    assert mail.outbox[0].to == ["carol@example.com"]


def test_spending_faster_than_ever_is_told_and_spending_as_ever_is_not(carol, kimi, settings):
    settings.VELOCITY_TIMES, settings.VELOCITY_FLOOR = 5, Decimal("0.01")
    spend(carol, kimi)
    assert alarms.check_velocity() == 0  # below the floor
    spend(carol, kimi, output_tokens=100_000)
    assert [alarms.check_velocity(), alarms.check_velocity()] == [1, 0]
    assert Alarm.objects.get().kind == "velocity"
    later = timezone.now() + timedelta(hours=7)
    assert alarms.check_velocity(now=later) == 0  # an hour in which nothing was spent


# ---- invoices


def test_an_invoice_adds_up_and_stays_as_it_was_issued(carol, kimi, at):
    now = timezone.now()
    at(now - timedelta(days=40))
    accounts.top_up(accounts.of(carol), Decimal(3), "transfer")
    spend(carol, kimi)
    spend(carol, kimi, output_tokens=1_000)
    at(now)
    month = (now - timedelta(days=40)).date().replace(day=1)
    invoice = invoices.issue(accounts.of(carol), month)
    assert invoice.total_nano == 5_675_000 + 3_175_000
    assert sum(Decimal(line["cost"]) for line in invoice.lines) == Decimal("0.00885")
    assert invoice.closing_nano == invoice.opening_nano + invoice.credited_nano - invoice.total_nano
    assert invoices.issue(accounts.of(carol), month) == invoice
    assert invoices.to_csv(invoice).splitlines()[1].endswith("0.00885,USD")
    assert "0.00885" in invoices.to_html(invoice)
    assert invoices.to_pdf(invoice).startswith(b"%PDF")
    with pytest.raises(DatabaseError), transaction.atomic():
        type(invoice).objects.update(total_nano=0)
    with pytest.raises(ValueError, match="not over"):
        invoices.issue(accounts.of(carol), now.date())


def test_invoices_of_a_month_are_issued_for_those_who_moved_money(carol, kimi, at):
    now = timezone.now()
    at(now.replace(day=1) - timedelta(days=2))
    spend(carol, kimi)
    at(now)
    assert invoices.issue_all(today=date(now.year, now.month, 1)) == 1
    assert accounts.of(carol).invoices.count() == 1


# ---- the proof


def test_the_proof_is_sound_and_says_how_much_it_looked_at(carol, kimi):
    spend(carol, kimi)
    holds.place(carol, model=kimi, max_input_tokens=9, max_output_tokens=9, ttl=TTL)
    budgets.set_for("user", str(carol.pk), period="day", currency="USD", soft=None, hard=Decimal(1))
    holds.place(carol, model=kimi, max_input_tokens=9, max_output_tokens=9, ttl=TTL)
    rollups.roll_up(now=timezone.now() + timedelta(hours=2))
    proof = proofs.prove()
    assert proof.is_sound, proof.claims
    assert all(claim["num_checked"] for claim in proof.claims)


@pytest.mark.parametrize(
    ("tamper", "name"),
    [
        (lambda: Account.objects.update(balance_nano=6_000_000_000), "Each balance is the sum of its ledger"),
        (lambda: Account.objects.update(held_nano=1), "What is held is held by open holds"),
        (
            lambda: [sums.objects.update(cost_nano=1) for sums in (UsageHour, UsageDay)],
            "Summed hours are their records",
        ),
    ],
)
def test_what_does_not_match_is_found_and_raises_an_alarm(carol, kimi, tamper, name):
    spend(carol, kimi)
    rollups.roll_up(now=timezone.now() + timedelta(hours=2))
    tamper()
    with pytest.raises(CommandError):
        call_command("billing", "prove")
    wrong = [claim["name"] for claim in Proof.objects.get().claims if claim["num_wrong"]]
    assert name in wrong
    assert name in Alarm.objects.get(kind="proof").text


def test_the_database_refuses_to_delete_what_was_billed(carol, kimi):
    spend(carol, kimi)
    for rows in (LedgerEntry.objects.all(), UsageRecord.objects.all()):
        with pytest.raises(DatabaseError), transaction.atomic():
            rows._raw_delete(rows.db)
