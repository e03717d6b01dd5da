"""The administration of money: every page renders, totals are right, what was billed stays."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from inference.schema import Usage
from tests.billing.conftest import TTL
from webapp.accounts.models import AuditEntry, User
from webapp.billing import accounts, holds, pricing, refusals, scopes
from webapp.billing.admin import large, usage_record
from webapp.billing.models import LedgerEntry, Plan, Price, UsageRecord

OURS = [model for model in admin.site._registry if model.__module__.startswith("webapp.")]


@pytest.fixture
def office(client, db):
    """A browser with an administrator signed in."""
    client.force_login(User.objects.create_superuser("root", "root@example.com", "root-password-1"))
    return client


@pytest.fixture
def bills(alice, bob, kimi, scripted_model):
    """Three records: Alice's two with kimi, Bob's one with the free model."""
    for user, model, output_tokens in (
        (alice, kimi, 1_000),
        (alice, kimi, 3_000),
        (bob, scripted_model, 500),
    ):
        hold = holds.place(user, model=model, max_input_tokens=200, max_output_tokens=5_000, ttl=TTL)
        usage = Usage(
            input_uncached_tokens=100,
            input_cached_tokens=50,
            output_tokens=output_tokens,
            reasoning_tokens=400,
        )
        holds.settle(hold.id, usage=usage, source="chat", reference="turn", finish_reason="stop")


def page(office, name, *args, **query):
    response = office.get(reverse(f"admin:{name}", args=args), query)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_list_form_and_row_renders(office, bills, alice, model):
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    assert page(office, f"{name}_changelist")
    row = model._default_manager.first()
    if row is not None:
        assert page(office, f"{name}_change", row.pk)
    if admin.site._registry[model].has_add_permission(office.get("/admin/").wsgi_request):
        assert page(office, f"{name}_add")


def test_totals_sum_tokens_by_kind_and_cost_by_model_day_and_user(office, bills):
    response = office.get(reverse("admin:billing_usagerecord_totals"))
    by_model, by_day, by_user = (table["totals"] for table in response.context["tables"])
    kimi = next(total for total in by_model if total.group == "kimi-k2-thinking")
    assert (kimi.num_records, kimi.input_uncached_tokens, kimi.input_cached_tokens) == (2, 200, 100)
    assert (kimi.output_tokens, kimi.reasoning_tokens, kimi.total_tokens) == (4_000, 800, 4_300)
    assert kimi.cost == Decimal("0.010135")  # 200 x 0.60 + 100 x 0.15 + 4,000 x 2.50 per million
    assert [(total.group, total.num_records) for total in by_day] == [(timezone.localdate(), 3)]
    assert [(total.group, total.output_tokens) for total in by_user] == [("alice", 4_000), ("bob", 500)]
    assert "0.010135 USD" in response.content.decode()


def test_totals_follow_the_filters_of_the_list(office, bills, bob):
    response = office.get(reverse("admin:billing_usagerecord_totals"), {"user__id__exact": bob.pk})
    (total,) = response.context["grand_totals"]
    assert (total.num_records, total.output_tokens) == (1, 500)
    nothing = {"created_at__gte": (timezone.now() + timedelta(days=1)).isoformat()}
    assert "No usage under these filters" in page(office, "billing_usagerecord_totals", **nothing)


def test_a_credit_is_added_with_its_note(office, alice):
    account = accounts.of(alice)
    url = reverse("admin:billing_account_credit", args=[account.pk])
    assert "more than zero" in office.post(url, {"amount": "0", "note": "x"}).content.decode()
    office.post(url, {"amount": "2.50", "note": "Thanks"})
    account.refresh_from_db()
    assert account.balance_nano == 7_500_000_000 == accounts.ledger_total_nano(account)
    assert LedgerEntry.objects.latest("id").note == "Thanks"


def price(model, **changes):
    form = {
        "model": model.pk,
        "currency": "USD",
        "input_per_million": "1",
        "cached_input_per_million": "0.1",
        "output_per_million": "5",
        "valid_from_0": f"{timezone.localdate() + timedelta(days=1):%Y-%m-%d}",
        "valid_from_1": "00:00:00",
    }
    return form | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_per_million": "-1"}, "A price is 0 or more"),
        ({"cached_input_per_million": "2"}, "Cached input costs no more than input"),
        ({"valid_from_0": "2020-01-01"}, "A price begins now or later"),
        ({"currency": "EUR"}, "valid choice"),
    ],
)
def test_a_bad_price_is_refused(office, kimi, changes, message):
    before = Price.objects.count()
    response = office.post(reverse("admin:billing_price_add"), price(kimi, **changes))
    assert message in response.content.decode()
    assert Price.objects.count() == before


def test_a_new_price_is_added_and_a_billed_one_is_not_changed(office, bills, kimi):
    office.post(reverse("admin:billing_price_add"), price(kimi))
    assert Price.objects.filter(model=kimi, output_per_million=5).exists()
    billed = UsageRecord.objects.filter(model=kimi).latest("id").price_id
    url = reverse("admin:billing_price_change", args=[billed])
    assert office.post(url, price(kimi)).status_code == 403


def test_staff_without_the_permission_see_no_money(client, db, alice):
    alice.is_staff = True
    alice.save()
    client.force_login(alice)
    for name in ("billing_usagerecord_totals", "billing_usagerecord_changelist"):
        assert client.get(reverse(f"admin:{name}")).status_code == 403
    credit = reverse("admin:billing_account_credit", args=[accounts.of(alice).pk])
    assert client.post(credit, {"amount": "100", "note": "me"}).status_code == 403


def test_the_office_limits_what_an_account_spends_in_a_day(office, alice, kimi):
    account = accounts.of(alice)
    address = reverse("admin:billing_account_daily_limit", args=[account.pk])
    assert address in page(office, "billing_account_change", account.pk)
    assert "Daily limit of alice" in page(office, "billing_account_daily_limit", account.pk)
    office.post(address, {"amount": "0.01"})
    assert "0.010000 USD" in page(office, "billing_account_change", account.pk)
    with pytest.raises(refusals.DailyLimitReached):
        holds.place(alice, model=kimi, max_input_tokens=0, max_output_tokens=8_000, ttl=TTL)
    office.post(address, {"amount": ""})
    holds.place(alice, model=kimi, max_input_tokens=0, max_output_tokens=8_000, ttl=TTL)
    assert "min" in office.post(address, {"amount": "-1"}).content.decode()


def test_who_may_not_change_accounts_may_not_limit_them(client, alice, bob):
    bob.is_staff = True
    bob.save()
    client.force_login(bob)
    address = reverse("admin:billing_account_daily_limit", args=[accounts.of(alice).pk])
    assert client.post(address, {"amount": "0"}).status_code == 403
    assert accounts.of(alice).daily_limit_nano is None


def test_a_list_is_counted_no_further_than_its_bound_and_comes_whole_as_csv(office, bills, bob, monkeypatch):
    monkeypatch.setattr(large, "MOST_COUNTED", 2)
    monkeypatch.setattr(large, "AT_ONCE", 2)
    listed = office.get(reverse("admin:billing_usagerecord_changelist"))
    assert listed.context["cl"].result_count == 2
    for name, column in (("usagerecord", "cost_nano"), ("ledgerentry", "amount_nano"), ("hold", "status")):
        whole = b"".join(office.get(reverse(f"admin:billing_{name}_csv")).streaming_content).decode()
        header, *rows = whole.splitlines()
        assert column in header
        assert len(rows) == admin.site._registry[apps.get_model("billing", name)].model.objects.count()
    one = office.get(reverse("admin:billing_usagerecord_csv"), {"q": "bob"})
    assert len(b"".join(one.streaming_content).splitlines()) == 2


def test_totals_that_days_do_not_know_are_counted_up_to_a_bound(office, bills, monkeypatch):
    address = reverse("admin:billing_usagerecord_totals")
    (total,) = office.get(address, {"finish_reason": "stop"}).context["grand_totals"]
    assert total.num_records == 3
    monkeypatch.setattr(usage_record, "MOST_COUNTED", 2)
    assert "too many records" in office.get(address, {"finish_reason": "stop"}).content.decode()


def test_the_plan_that_the_office_chooses_holds_until_it_is_taken_away(office, alice):
    account = accounts.of(alice)
    plan = Plan.objects.create(name="Campus", requests_per_minute=7)
    address = reverse("admin:billing_account_plan", args=[account.pk])
    assert address in page(office, "billing_account_change", account.pk)
    assert "Campus" in page(office, "billing_account_plan", account.pk)
    office.post(address, {"plan": plan.pk})
    account.refresh_from_db()
    assert scopes.plan_of(account) == plan
    entry = AuditEntry.objects.filter(kind="account").latest("id")
    assert (entry.actor, entry.before["plan"], entry.after["plan"]) == ("root", None, plan.pk)
    office.post(address, {"plan": ""})
    account.refresh_from_db()
    assert scopes.plan_of(account) is None


def test_the_ledger_is_searched_by_whose_it_is_and_by_what_was_paid_for(office, bills, alice, bob):
    accounts.give(accounts.of(bob), Decimal(3), "For the prize")
    record = UsageRecord.objects.filter(user=alice).latest("id")
    entry = LedgerEntry.objects.get(hold=record.hold_id)
    usage = page(office, "billing_usagerecord_change", record.pk)
    assert f"{reverse('admin:billing_ledgerentry_changelist')}?q={record.hold_id}" in usage
    assert f"-{pricing.to_decimal(record.cost_nano):,.6f} USD" in usage

    def found(word):
        listed = office.get(reverse("admin:billing_ledgerentry_changelist"), {"q": word})
        return set(listed.context["cl"].queryset)

    assert found(str(record.hold_id)) == {entry}
    assert found("turn") == set(LedgerEntry.objects.filter(account=alice.account, kind="usage"))
    assert found("bob") == set(LedgerEntry.objects.filter(account=bob.account))
    assert [one.note for one in found("prize")] == ["For the prize"]
    assert found(str(uuid4())) == set()
