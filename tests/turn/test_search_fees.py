"""What a search costs counts in the turn's budget, is on its bill, and is paid once."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chat import history
from chat.models import ToolRun, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.search import sites
from tests.search.engine_answers import ANSWERS
from tests.search.sites import Answer, Pages
from tests.turn.browser import Tab
from webapp.accounts.models import User
from webapp.billing import accounts
from webapp.billing.models import Account, UsageRecord
from webapp.catalog.models import SearchEngine

pytestmark = pytest.mark.django_db(transaction=True)
FEE_NANO = 5_000_000


@pytest.fixture
def asked(settings: Any, tmp_path: Path) -> Iterator[Pages]:
    """The pages of an engine that takes half a cent."""
    settings.CORPUS_INDEX = tmp_path / "none.sqlite3"
    found = Answer(body=json.dumps(ANSWERS["searxng"]).encode(), content_type="application/json")
    pages = Pages({"/search": found})
    with sites.serve(pages) as address:
        SearchEngine.objects.create(kind="searxng", base_url=address, price_per_search="0.005")
        yield pages


def searches(number: int, *, apart: bool = True) -> tuple[Reply, ...]:
    """So many steps that search, for something that nobody has searched for before."""
    name = uuid4().hex
    calls = [json.dumps({"query": f"tea {name} {step * apart}"}) for step in range(number)]
    steps = [Reply(step=at, lines=(f"call: web_search {one}",)) for at, one in enumerate(calls, 1)]
    return (*steps, Reply(lines=("text: Tea.",)))


def test_a_search_is_paid_even_where_the_model_is_free(
    alice_tab: Tab, alice: User, script: WriteScript, asked: Pages
) -> None:
    before = accounts.of(alice).balance_nano
    script(*searches(2))
    alice_tab.ask("Tea?", long_thinking=True)
    bill, account = UsageRecord.objects.get(), Account.objects.get(user=alice)
    assert (bill.cost_nano, bill.fees_nano) == (2 * FEE_NANO, 2 * FEE_NANO)
    assert (before - account.balance_nano, account.held_nano) == (2 * FEE_NANO, 0)
    assert accounts.ledger_total_nano(account) == account.balance_nano
    assert Turn.objects.get().budget_spent_nano == 2 * FEE_NANO
    assert history.turn_view(Turn.objects.get()).cost == Decimal("0.01")


def test_the_same_search_again_is_not_paid_again(alice_tab: Tab, script: WriteScript, asked: Pages) -> None:
    script(*searches(2, apart=False))
    alice_tab.ask("Tea?", long_thinking=True)
    assert len(asked.asked) == 1
    assert UsageRecord.objects.get().fees_nano == FEE_NANO
    assert list(ToolRun.objects.order_by("step").values_list("saved_nano", flat=True)) == [0, FEE_NANO]


def test_searches_count_against_the_limit_that_a_person_sets(
    alice_tab: Tab, script: WriteScript, asked: Pages
) -> None:
    script(*searches(6))
    frames = alice_tab.ask("Tea?", long_thinking=True, limits={"max_cost": "0.01"})
    assert "cost limit" in frames[-1]["error"]
    assert UsageRecord.objects.get().fees_nano == 2 * FEE_NANO


def test_who_has_no_money_left_searches_no_further(
    alice_tab: Tab, alice: User, script: WriteScript, asked: Pages
) -> None:
    accounts.of(alice)
    Account.objects.filter(user=alice).update(balance_nano=FEE_NANO)
    script(*searches(6))
    frames = alice_tab.ask("Tea?", long_thinking=True)
    assert "credit" in frames[-1]["error"]
    assert UsageRecord.objects.get().cost_nano == FEE_NANO
    assert Account.objects.get(user=alice).balance_nano == 0
