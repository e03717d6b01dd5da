"""The whole platform as processes, and a person with a browser who watches an answer while parts are killed."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests import services
from tests.stack import Stack

FINISHED = "section.turn:last-of-type:not([data-live])"
ANSWER = "section.turn:last-of-type .answer"
# The model costs money here, so that a second charge would be seen.
SET_PRICE = """
from webapp.billing.models import Price
ours = Price.objects.filter(model__backend__in=["scripted", "local"])
ours.update(input_per_million=100, output_per_million=100)
"""
LEDGER = """
import json
from chat.models import Message, Part, Turn
from webapp.billing.models import Account, Hold, LedgerEntry, UsageRecord
turn = Turn.objects.get()
account = Account.objects.get(user__username="demo")
text = "".join(Part.objects.filter(message__turn=turn, message__role="assistant", kind="text")
               .order_by("message__step", "position").values_list("text", flat=True))
print(json.dumps({
    "text": text, "status": turn.status, "finish_reason": turn.finish_reason, "error": turn.error,
    "usage_records": UsageRecord.objects.count(), "charges": LedgerEntry.objects.filter(kind="usage").count(),
    "cost": sum(UsageRecord.objects.values_list("cost_nano", flat=True)),
    "charged": -sum(LedgerEntry.objects.filter(kind="usage").values_list("amount_nano", flat=True)),
    "open_holds": Hold.objects.filter(status="open").count(), "held": account.held_nano,
    "balance": account.balance_nano, "ledger": sum(account.ledger.values_list("amount_nano", flat=True)),
}))
"""


@dataclass(frozen=True)
class Record:
    """What the database holds of the only turn."""

    text: str
    status: str
    finish_reason: str
    error: str
    usage_records: int
    charges: int
    cost: int
    charged: int
    open_holds: int
    held: int
    balance: int
    ledger: int

    def assert_charged_once(self) -> None:
        assert (self.usage_records, self.charges) == (1, 1)
        assert self.charged == self.cost > 0
        assert (self.open_holds, self.held) == (0, 0)
        assert self.balance == self.ledger


def record_of(stack: Stack) -> Record:
    return Record(**json.loads(stack.python(LEDGER).splitlines()[-1]))


class Person:
    """Someone with a browser, signed in as `demo`. Remembers every state of the answer that they saw."""

    def __init__(self, page: Page, stack: Stack) -> None:
        self.page = page
        self._stack = stack

    def sign_in(self) -> None:
        logins = dict(
            line.split() for line in (self._stack.folder / "first-run-passwords").read_text().splitlines()
        )
        self.page.goto(f"{self._stack.url}/sign-in/")
        self.page.fill("input[name=username]", "demo")
        self.page.fill("input[name=password]", logins["demo"])
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#message")

    def ask(self, text: str) -> None:
        self.page.fill("#message", text)
        self.page.click("#send:not([disabled])")

    @property
    def answer(self) -> str:
        """The answer as it stands on the screen, spaces made even."""
        return " ".join(" ".join(self.page.locator(ANSWER).all_inner_texts()).split())

    def watch_until_words(self, count: int) -> None:
        services.wait_until(lambda: len(self.answer.split()) >= count, within_s=60, what=f"{count} words")

    def watch_to_the_end(self, *, within_s: float = 60) -> list[str]:
        """Every different state of the answer until the turn has finished, the last state included."""
        seen: list[str] = []
        deadline = time.monotonic() + within_s
        while True:
            is_finished = self.page.locator(FINISHED).count() > 0
            if not seen or self.answer != seen[-1]:
                seen.append(self.answer)
            if is_finished:
                return seen
            assert time.monotonic() < deadline, (
                f"not finished after {within_s:.0f} s; on the screen: {self.answer!r}"
            )
            self.page.wait_for_timeout(50)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = services.chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    try:
        stack.start()
        stack.python(SET_PRICE)
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def demo(browser: Browser, stack: Stack) -> Iterator[Person]:
    context = browser.new_context(viewport={"width": 1200, "height": 800}, locale="en")
    person = Person(context.new_page(), stack)
    person.sign_in()
    yield person
    context.close()
