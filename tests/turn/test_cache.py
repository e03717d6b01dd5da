"""What a turn has paid for, the next one gets for nothing."""

from uuid import UUID

import pytest

from chat.models import ToolRun, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.loopforge.ledger import Ledger
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from tests.turn.outside_tools import outside
from webapp.accounts.models import User

__all__ = ["outside"]

pytestmark = pytest.mark.django_db(transaction=True)

NUM_STEPS, CALLS_A_STEP = 5, 4
RESEARCH = (
    *(
        Reply(
            step=step,
            lines=tuple(
                f'call: gazette {{"page": {step * CALLS_A_STEP + index}}}' for index in range(CALLS_A_STEP)
            ),
        )
        for step in range(1, NUM_STEPS + 1)
    ),
    Reply(step=NUM_STEPS + 1, lines=('call: calculate {"expression": "6 * 7"}',)),
    Reply(step=NUM_STEPS + 2, lines=("text: 42",)),
)


def cached_share(turn_id: str) -> float:
    runs = ToolRun.objects.filter(turn_id=UUID(turn_id))
    return runs.filter(is_cached=True).count() / runs.count()


def test_the_second_of_two_identical_turns_takes_nine_calls_in_ten_from_the_cache(
    alice_tab: Tab, script: WriteScript, outside: Ledger
) -> None:
    script(*RESEARCH)
    first, second = [alice_tab.ask("Research.", long_thinking=True)[0]["turn"] for _ in range(2)]
    assert cached_share(first) == 0
    assert cached_share(second) >= 0.9
    assert outside.num_attempts("gazette") == NUM_STEPS * CALLS_A_STEP
    kept = ToolRun.objects.filter(turn_id=UUID(second), is_cached=True)
    assert all(run.fetched_at and run.fetched_at < run.created_at and run.saved_ms >= 200 for run in kept)


def test_turns_that_ask_the_same_at_once_pay_once(
    open_tab: OpenTab, celery_worker: None, alice: User, script: WriteScript, outside: Ledger
) -> None:
    script(*RESEARCH)
    tabs = [open_tab(alice) for _ in range(4)]
    for tab in tabs:
        tab.start("Research.", long_thinking=True)
    for tab in tabs:
        tab.wait_for("turn.finished", within_s=60)
    assert Turn.objects.count() == 4
    assert ToolRun.objects.filter(tool="gazette").count() == 4 * NUM_STEPS * CALLS_A_STEP
    assert outside.num_attempts("gazette") == NUM_STEPS * CALLS_A_STEP


def test_nobody_pays_for_or_sees_what_another_user_asked(
    open_tab: OpenTab, celery_worker: None, alice: User, bob: User, script: WriteScript, outside: Ledger
) -> None:
    script(*RESEARCH)
    for user in (alice, bob):
        open_tab(user).ask("Research.", long_thinking=True)
    assert outside.num_attempts("gazette") == 2 * NUM_STEPS * CALLS_A_STEP


def test_a_turn_that_is_to_be_fresh_looks_anew(alice_tab: Tab, script: WriteScript, outside: Ledger) -> None:
    script(*RESEARCH)
    alice_tab.ask("Research.", long_thinking=True)
    alice_tab.ask("Research.", long_thinking=True, tools={"is_fresh": True})
    assert not ToolRun.objects.filter(is_cached=True).exists()
    assert outside.num_attempts("gazette") == 2 * NUM_STEPS * CALLS_A_STEP
