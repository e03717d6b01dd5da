"""The administration's figures: right, for staff alone, and the same as CSV."""

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.urls import reverse
from django.utils import timezone

from inference.schema import Usage
from webapp.accounts import keys, teams
from webapp.accounts.models import User
from webapp.billing import alarms, holds, proofs, receipts, refusals, seeds
from webapp.billing.models import Alarm, Budget, Invoice, Price, Proof, Quota, UsageRecord, Voucher
from webapp.catalog.models import ServedModel

PAGES = ("dashboard", "dashboard_turns", "dashboard_workers", "dashboard_money", "dry_run")


@pytest.fixture
def kimi(db):
    model = ServedModel.objects.create(
        name="kimi-k2-thinking",
        label="Kimi",
        backend="openai_compatible",
        upstream_name="kimi",
        context_tokens=262_144,
        max_output_tokens=65_536,
    )
    seeds.seed()
    return model


@pytest.fixture
def used(alice, bob, kimi):
    for user, source in ((alice, "api"), (alice, "chat"), (bob, "chat")):
        hold = holds.place(
            user, model=kimi, max_input_tokens=2_000, max_output_tokens=2_000, ttl=timedelta(minutes=5)
        )
        usage = Usage(
            input_uncached_tokens=1_000, input_cached_tokens=500, output_tokens=2_000, reasoning_tokens=900
        )
        holds.settle(hold.id, usage=usage, source=source, reference="r", finish_reason="stop")


@pytest.fixture
def root(db):
    return User.objects.create_superuser("=root", "root@example.com", "root-password-1")


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_for_staff_alone(client, root, alice, used, name):
    client.force_login(alice)
    assert client.get(reverse(name)).status_code == 403
    client.force_login(root)
    assert client.get(reverse(name)).status_code == 200
    assert client.get(reverse(name), headers={"Accept-Language": "zh-hans"}).status_code == 200


def test_the_page_and_its_csv_say_what_the_records_say(client, root, used):
    client.force_login(root)
    page = client.get(reverse("dashboard"), {"span": "7"})
    (total,) = page.context["totals"]
    assert total.num_records == 3
    assert total.cost_nano == sum(UsageRecord.objects.values_list("cost_nano", flat=True))
    for table, first in (("user", "alice"), ("model", "kimi-k2-thinking"), ("key", "")):
        text = client.get(reverse("dashboard"), {"format": "csv", "table": table}).content.decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert rows[0][table] == first
        assert sum(int(row["requests"]) for row in rows) == 3
    narrowed = client.get(reverse("dashboard"), {"user": "bob"})
    assert narrowed.context["totals"][0].num_records == 1
    links = re.findall(r'href="(\?[^"]*format=csv[^"]*)"', narrowed.content.decode())
    assert len(links) == 5
    for link in links:  # of a page that is narrowed, each table's CSV is, too
        text = client.get(reverse("dashboard") + unescape(link)).content.decode()
        assert [row["requests"] for row in csv.DictReader(io.StringIO(text))] == ["1"]


def test_a_person_s_page_the_office_s_and_the_receipts_say_the_same(client, root, used, alice, bob):
    records = list(UsageRecord.objects.filter(user=alice))
    client.force_login(alice)
    own = client.get(reverse("keys_and_usage")).context
    client.force_login(root)
    theirs = client.get(reverse("dashboard"), {"user": "alice"}).context
    found = [receipts.of(alice, str(record.hold_id)) for record in records]
    bills = [bill for bill in found if bill is not None]
    assert len(bills) == len(records)
    charged = sum((Decimal(bill["charged"]) for bill in bills), Decimal())
    for (total,) in (own["totals"], theirs["totals"], own["lines"], theirs["days"]):
        assert (total.num_records, total.cost) == (2, charged)
        for name in ("input_uncached_tokens", "input_cached_tokens", "output_tokens"):
            assert getattr(total, name) == sum(bill["usage"][name] for bill in bills)
        assert total.reasoning_tokens == sum(bill["usage"]["of_which_reasoning_tokens"] for bill in bills)
    assert own["balance"] == Decimal(5) - charged
    assert receipts.of(bob, str(records[0].hold_id)) is None


def test_turns_are_listed_by_what_they_cost(client, root, used):
    client.force_login(root)
    assert len(client.get(reverse("dashboard_turns"), {"order": "cost"}).context["records"]) == 2


def test_other_prices_are_tried_without_changing_anything(client, root, used, kimi):
    client.force_login(root)
    prices = {"input": "0.6", "cached_input": "0.15", "output": "5", "span": "30"}
    run = client.post(reverse("dry_run"), {"model": kimi.pk, "currency": "USD", **prices}).context["run"]
    assert (run.num_records, run.billed * 1_000_000) == (3, 17_025)
    assert run.would_be > run.billed
    assert client.post(reverse("dry_run"), {"model": kimi.pk}).status_code == 422


def test_an_alarm_is_seen_once_somebody_says_so(client, root, used):
    proofs.prove()
    alarms.raise_proof(Proof.objects.get())
    client.force_login(root)
    client.post(reverse("see_alarm", args=[Alarm.objects.get().pk]))
    assert Alarm.objects.get().seen_at is not None
    assert "Every sum matches" in client.get(reverse("dashboard_money")).content.decode()


def saved_from_the_list(client, model) -> list[list[str]]:
    """By the list's action; a list of millions of rows has an address for it instead."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    if model is UsageRecord:
        return list(csv.reader(io.StringIO(client.get(reverse(f"{name}_csv")).getvalue().decode())))
    chosen = [str(pk) for pk in model.objects.values_list("pk", flat=True)]
    answer = client.post(reverse(f"{name}_changelist"), {"action": "save_as_csv", "_selected_action": chosen})
    return list(csv.reader(io.StringIO(answer.content.decode())))


@pytest.mark.parametrize("model", [Price, UsageRecord, User])
def test_every_list_of_rows_can_be_saved_as_csv(client, root, used, model):
    client.force_login(root)
    rows = saved_from_the_list(client, model)
    assert len(rows) == model.objects.count() + 1
    # A name that a spreadsheet would compute is a text.
    assert not any(cell.startswith("=") for row in rows for cell in row)


def test_a_voucher_made_in_the_admin_is_shown_once_and_worth_its_amount(client, root, alice):
    client.force_login(root)
    address = reverse("admin:billing_voucher_add")
    shown = client.post(address, {"amount": "2", "currency": "USD", "note": "prize"}, follow=True)
    code = shown.content.decode().split("The code is ")[1].split(".")[0]
    assert code not in client.get(reverse("admin:billing_voucher_changelist")).content.decode()
    client.force_login(alice)
    page = client.post(reverse("redeem_voucher"), {"code": code}, follow=True).content.decode()
    assert "2 USD were added" in page
    assert Voucher.objects.get().redeemed_by == alice.account
    assert "before" in client.post(reverse("redeem_voucher"), {"code": code}, follow=True).content.decode()


def test_a_budget_made_in_the_admin_holds(client, root, alice, kimi):
    client.force_login(root)
    form = {"scope": "user", "subject": str(alice.pk), "period": "month", "currency": "USD", "hard": "0.001"}
    assert client.post(reverse("admin:billing_budget_add"), form).status_code == 302
    assert Budget.objects.get().hard_nano == 1_000_000
    with pytest.raises(refusals.BudgetReached):
        holds.place(alice, model=kimi, max_input_tokens=0, max_output_tokens=4_000, ttl=timedelta(minutes=5))


def test_an_invoice_is_for_its_owner_alone(client, alice, bob):
    month = timezone.localdate().replace(day=1)
    Invoice.objects.create(
        number="1-1", account=alice.account, month=month, currency="USD", owner="alice",
        opening_nano=0, credited_nano=0, total_nano=0, closing_nano=0,
    )  # fmt: skip
    client.force_login(bob)
    assert client.get(reverse("invoice", args=["1-1", "csv"])).status_code == 404
    client.force_login(alice)
    for kind in ("csv", "html", "pdf"):
        assert client.get(reverse("invoice", args=["1-1", kind])).status_code == 200
    assert client.get(reverse("invoice", args=["1-1", "exe"])).status_code == 404


@pytest.mark.parametrize("kind", ["budget", "quota"])
def test_a_limit_is_set_for_whom_people_name_and_for_nobody_else(client, root, alice, bob, kind):
    team = teams.create(alice, name="Urban heat")
    key, _secret = keys.create(alice, name="Notebook")
    client.force_login(root)
    address = reverse(f"admin:billing_{kind}_add")
    form = {"period": "month", "currency": "USD", "hard": "1", "requests_per_minute": "5"}
    said = {
        ("user", "Alice@example.com"): str(alice.pk),
        ("user", str(bob.pk)): str(bob.pk),
        ("team", "Urban heat"): str(team.pk),
        ("project", "Default"): str(team.projects.get().pk),
        ("key", key.prefix): str(key.pk),
    }
    for (scope, subject), id in said.items():
        client.post(address, form | {"scope": scope, "subject": subject})
        assert (scope, id) in rows_of(kind)
    for scope, subject in (("user", "nobody"), ("team", "alice"), ("key", "sk-"), ("project", str(alice.pk))):
        answer = client.post(address, form | {"scope": scope, "subject": subject})
        assert "There is nobody" in answer.content.decode()
    assert len(rows_of(kind)) == len(said)
    # Of these no budget is counted, so none is offered.
    for scope, subject in (("model", "kimi"), ("global", "")):
        client.post(address, form | {"scope": scope, "subject": subject})
        assert (scope, subject) not in rows_of("budget")
    assert "Urban heat" in client.get(reverse(f"admin:billing_{kind}_changelist")).content.decode()


def rows_of(kind):
    rows = Budget.objects if kind == "budget" else Quota.objects
    return set(rows.values_list("scope", "subject"))


def test_a_budget_of_somebody_who_is_gone_breaks_no_page(client, root):
    Budget.objects.create(scope="user", subject="no id", period="month", currency="USD", hard_nano=1)
    client.force_login(root)
    assert "no id" in client.get(reverse("dashboard_money")).content.decode()
    assert client.get(reverse("admin:billing_budget_changelist")).status_code == 200
