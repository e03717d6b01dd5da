"""The operator's pages worked with real input, at a desk and on a phone: prices, money, limits, figures."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from chat.templatetags.chat_page import money
from tests.e2e.conftest import DESKTOP, Visitors
from tests.e2e.person import Person
from tests.services import wait_until
from tests.stack import Stack

pytestmark = pytest.mark.e2e

# A model of its own: what other people's turns on this platform cost stays as it was.
SET_UP = """
from django.utils import timezone
from webapp.accounts import keys
from webapp.accounts.models import User
from webapp.billing.models import Price
from webapp.catalog.models import ServedModel
User.objects.filter(username="{name}").update(is_staff=True, is_superuser=True)
model = ServedModel.objects.get(name="scripted")
model.pk, model.name, model.label, model.position = None, "priced", "Priced", 900
model.max_output_tokens = 9_000
model.save(force_insert=True)
Price.objects.create(model=model, currency="USD", valid_from=timezone.now(),
    input_per_million=3, cached_input_per_million=1, output_per_million=7)
for name in {customers}:
    customer = User.objects.create_user(name, f"{{name}}@example.com", "customer-secret-9")
    print(name, keys.create(customer, name="Reports")[1])
"""
TEAR_DOWN = """
from webapp.catalog.models import ServedModel
ServedModel.objects.filter(name="priced").update(is_active=False)
"""
CUSTOMERS = [f"customer-{letter}" for letter in "abcdefghi"]  # a test that is tried again takes another
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": DESKTOP[0], "height": DESKTOP[1]}


@dataclass
class Office:
    """An operator at work. `see` keeps a picture of the page at both widths and holds it to them."""

    person: Person
    customers: Iterator[tuple[str, str]]  # each with the secret of a key
    shots: Path

    @property
    def page(self) -> Page:
        return self.person.page

    def open(self, address: str) -> None:
        self.page.goto(address)

    def save(self) -> None:
        self.page.get_by_role("button", name="Save", exact=True).click()
        expect(self.page.locator(".messagelist")).to_be_visible()

    def see(self, name: str) -> None:
        for size in (PHONE, DESK):
            self.page.set_viewport_size(size)
            self.page.screenshot(path=self.shots / f"office-{name}.{size['width']}.png")
            wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} at {size['width']}: {wide} pixels too wide"


@pytest.fixture(scope="module")
def office(browser: Browser, stack: Stack, shots: Path) -> Iterator[Office]:
    stack.script("think: Well.", "text: It is four.")
    visitors = Visitors(browser, stack)
    person = visitors.person()
    told = stack.python(SET_UP.format(name=person.name, customers=CUSTOMERS)).splitlines()
    made = [(name, secret) for name, secret in (line.split() for line in told[-len(CUSTOMERS) :])]
    yield Office(person, iter(made), shots)
    for context in visitors.contexts:
        context.close()
    stack.python(TEAR_DOWN)
    assert visitors.complaints == []


def figure(page: Page, name: str) -> Locator:
    """What a card of the page says."""
    return page.locator(".stat", has=page.locator("dt", has_text=name)).locator("dd").first


def test_a_turn_is_followed_to_its_cost_in_the_ledger(office: Office) -> None:
    page, person = office.page, office.person
    office.open("/")
    page.locator("[aria-controls=model-menu]").click()
    page.get_by_role("menuitemradio", name="Priced").click()
    person.ask("What is 2 + 2?")
    person.wait_for_answer()
    office.open("/dashboard/turns/")
    row = page.get_by_role("row", name=person.name).first
    cost = row.locator("td").last.inner_text()
    office.see("turns")
    row.locator("th a").click()
    expect(page.locator(".field-model")).to_contain_text("Priced")
    office.see("record")
    booked = page.locator(".field-booked a")
    assert Decimal(booked.inner_text().removesuffix(" USD")) == -Decimal(cost.removeprefix("$"))
    booked.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.locator("#result_list tbody tr")).to_contain_text(person.name)
    office.see("ledger")


def test_what_a_page_adds_up_is_what_its_csv_adds_up_to(office: Office) -> None:
    page = office.page
    office.open("/dashboard/")
    office.see("usage")
    page.get_by_role("rowheader", name=office.person.name).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(office.person.name)
    for link in page.get_by_role("link", name="CSV").all():
        with page.expect_download() as download:
            link.click()
        with download.value.path().open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert str(sum(int(row["requests"]) for row in rows)) == figure(page, "Requests").inner_text()
        cost = sum((Decimal(row["cost"]) for row in rows), Decimal())
        assert cost > 0
        assert money(cost, "USD") == figure(page, "Billed").inner_text()


def test_a_price_of_tomorrow_is_added_and_tried_on_what_was_used(office: Office) -> None:
    page = office.page
    office.open("/dashboard/prices/dry-run/")
    page.get_by_label("Model").select_option("Priced")
    for name, price in (("Input", "6"), ("Cached input", "2"), ("Output", "14")):
        page.get_by_label(name, exact=True).fill(price)
    page.get_by_role("button", name="Compute").click()
    billed, would_be = (
        Decimal(figure(page, name).inner_text().removeprefix("$")) for name in ("Billed", "Would be")
    )
    assert would_be / billed == pytest.approx(Decimal(2), rel=Decimal("0.1"))  # of two digits each
    office.see("dry-run")
    page.get_by_role("link", name="Prices", exact=True).last.click()
    page.get_by_role("link", name="Add price").click()
    page.get_by_label("Model").select_option("Priced")
    page.get_by_label("Currency").select_option("USD")
    for name, price in (("Input:", "6"), ("Cached input:", "2"), ("Output:", "14")):
        page.get_by_label(name, exact=True).fill(price)
    day = datetime.fromisoformat(f"{page.locator('#id_valid_from_0').input_value()}") + timedelta(days=1)
    page.locator("#id_valid_from_0").fill(f"{day:%Y-%m-%d}")
    office.see("price")
    office.save()
    rows = page.locator("#result_list tbody tr", has_text="Priced").filter(has_text="USD")
    expect(rows.filter(has_text="14.00").locator("img[alt=False]").first).to_be_visible()
    expect(rows.filter(has_text="7.00").locator("img[alt=True]")).to_be_visible()
    office.see("prices")


def test_a_credit_a_plan_and_a_daily_limit_reach_the_account(office: Office) -> None:
    page, (customer, _secret) = office.page, next(office.customers)
    office.open("/admin/billing/plan/add/")
    page.get_by_label("Name").fill(f"Plan of {customer}")
    page.get_by_label("Requests a minute").fill("70")
    office.save()
    office.open("/admin/billing/account/")
    page.locator("#searchbar").fill(customer)
    page.get_by_role("button", name="Search").click()
    page.locator("#result_list th a", has_text=customer).click()
    page.get_by_role("link", name="Credit", exact=True).click()
    page.get_by_label("Amount").fill("12.5")
    page.get_by_label("Note").fill(f"Prize for {customer}")
    office.see("credit")
    page.get_by_role("button", name="Credit").click()
    expect(page.locator(".messagelist")).to_contain_text("was credited 12.5 USD")
    page.get_by_role("link", name="Plan", exact=True).click()
    page.get_by_label("Plan").select_option(f"Plan of {customer}")
    page.get_by_role("button", name="Plan").click()
    page.get_by_role("link", name="Daily limit", exact=True).click()
    page.get_by_label("Daily limit").fill("2")
    page.get_by_role("button", name="Daily limit").click()
    expect(page.locator(".field-plan")).to_contain_text(f"Plan of {customer}")
    expect(page.locator(".field-daily_limit")).to_contain_text("2.000000 USD")
    office.see("account")
    page.locator("#content-main").get_by_role("link", name="Ledger").click()
    page.locator("#searchbar").fill(f"for {customer}")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.locator("#result_list tbody tr")).to_contain_text("12.500000 USD")


def test_a_budget_and_a_voucher_are_made_and_redeemed(office: Office) -> None:
    page, (customer, _secret) = office.page, next(office.customers)
    office.open("/admin/billing/budget/add/")
    page.locator("#id_scope").select_option("user")
    page.locator("#id_subject").fill("custmer")
    page.locator("#id_currency").select_option("USD")
    page.get_by_label("Soft").fill("40")
    page.get_by_label("Hard").fill("50")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errorlist")).to_contain_text("There is nobody")
    office.see("budget")
    page.locator("#id_subject").fill(f"{customer}@example.com")
    office.save()
    office.open("/dashboard/money/")
    expect(page.get_by_role("row", name=customer)).to_contain_text("$50.00")
    office.see("money")
    office.open("/admin/billing/voucher/add/")
    page.get_by_label("Amount").fill("3")
    page.locator("#id_currency").select_option("USD")
    office.save()
    told = page.locator(".messagelist li", has_text="The code is").inner_text()
    office.see("vouchers")
    office.open("/settings/keys/")
    page.get_by_label("Voucher").fill(told.split("The code is ")[1].split(".")[0])
    page.get_by_role("button", name="Redeem").click()
    expect(page.get_by_role("status").filter(has_text="3 USD were added")).to_be_visible()


def test_a_key_that_the_office_revokes_opens_nothing_a_moment_later(office: Office, stack: Stack) -> None:
    page, (customer, secret) = office.page, next(office.customers)

    def status() -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.get(f"{stack.url}/v1/models", headers=headers, timeout=30).status_code

    assert status() == 200
    office.open("/admin/accounts/apikey/")
    office.see("keys")
    page.set_viewport_size(PHONE)  # as it is done from the train
    page.get_by_role("row", name=customer).locator("input[type=checkbox]").check()
    page.locator("select[name=action]").select_option("Revoke the selected keys")
    page.get_by_role("button", name="Go").click()
    expect(page.locator(".messagelist")).to_contain_text("1 key was revoked")
    wait_until(lambda: status() == 401, within_s=30, what="the key to be refused")
