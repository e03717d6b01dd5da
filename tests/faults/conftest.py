"""The whole platform as processes, and people who watch their answers in a browser while parts are killed."""

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Browser

from tests import services
from tests.e2e.person import Person
from tests.stack import Stack

FINISHED = "section.turn:last-of-type:not([data-live])"
# Every model costs money here, so that a second charge would be seen.
SET_PRICE = """
from webapp.billing.models import Price
ours = Price.objects.filter(model__backend__in=["scripted", "local"])
ours.update(input_per_million=100, output_per_million=100)
"""
MAKE_USER = """
from webapp.accounts import keys
from webapp.accounts.models import User
user = User.objects.create_user("{name}", "{name}@example.com", "{password}")
print(keys.create(user, name="tests")[1])
"""
RECORD = """
import json
from chat.models import Part, Turn
from webapp.billing.models import Account, Hold, UsageRecord
turn = Turn.objects.filter(conversation__user__username="{name}").latest("created_at")
account = Account.objects.get(user__username="{name}")
said = Part.objects.filter(message__turn=turn, message__role="assistant", kind="text")
usage = UsageRecord.objects.filter(user__username="{name}")
charges = account.ledger.filter(kind="usage")
print(json.dumps({{
    "text": "".join(said.order_by("message__step", "position").values_list("text", flat=True)),
    "status": turn.status, "finish_reason": turn.finish_reason, "error": turn.error,
    "usage_records": usage.count(), "charges": charges.count(),
    "cost": sum(usage.values_list("cost_nano", flat=True)),
    "charged": -sum(charges.values_list("amount_nano", flat=True)),
    "open_holds": Hold.objects.filter(account=account, status="open").count(), "held": account.held_nano,
    "balance": account.balance_nano, "ledger": sum(account.ledger.values_list("amount_nano", flat=True)),
}}))
"""


@dataclass(frozen=True)
class Record:
    """What the database holds of a person's last turn and of their money."""

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


class Witness(Person):
    """Someone who sees every state of their answer, and can look up what the database holds of it."""

    def __init__(self, browser: Browser, stack: Stack, *, name: str) -> None:
        self.context = browser.new_context(base_url=stack.url, locale="en")
        super().__init__(self.context.new_page(), name=name)
        self._stack = stack
        self.key = stack.python(MAKE_USER.format(name=name, password=self.password)).splitlines()[-1]
        self.page.goto("/sign-in/")
        self.sign_in()
        self.composer.wait_for()

    def choose_model(self, name: str) -> None:
        self.page.reload()
        self.page.click("[aria-controls=model-menu]")
        self.page.click(f"#model-menu [data-model^={name}]")

    def send(self, text: str) -> None:
        """Like `ask`, without waiting for it to be taken."""
        self.composer.fill(text)
        self.page.click("#send:not([disabled])")

    def call_api(self, model: str) -> httpx.Response:
        """A question as a program asks it."""
        return httpx.post(
            f"{self._stack.url}/v1/chat/completions",
            headers={"Authorization": f"Bearer {self.key}"},
            json={"model": model, "messages": [{"role": "user", "content": "Hello"}]},
            timeout=60,
            trust_env=False,
        )

    @property
    def record(self) -> Record:
        return Record(**json.loads(self._stack.python(RECORD.format(name=self.name)).splitlines()[-1]))

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
                f"not finished in {within_s:.0f} s; on the screen: {seen[-1]!r}"
            )
            self.page.wait_for_timeout(50)


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One platform for a file of tests; a file that sets MODEL gets an inference worker with that model."""
    stack = Stack(tmp_path_factory.mktemp("stack"), model=getattr(request.module, "MODEL", None))
    try:
        stack.start()
        stack.python(SET_PRICE)
        yield stack
    finally:
        stack.stop()


_numbers = itertools.count(1)


@pytest.fixture
def witness(browser: Browser, stack: Stack) -> Iterator[Witness]:
    witness = Witness(browser, stack, name=f"witness{next(_numbers)}")
    yield witness
    witness.context.close()
