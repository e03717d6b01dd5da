"""What a turn and its agents spend together stays within the turn's limit, whoever calls at the same time."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction
from django.db.models import Sum

from agents.budget import Grant
from agents.limits import Limits
from agents.store import BudgetExhausted
from agents.teams.crew import AgentTask
from chat import budgets, dispatch, turns
from chat.crew import DatabaseCrew
from chat.frames import Limits as Wanted
from chat.frames import TurnSend
from chat.models import Turn
from inference.schema import FinishReason, Usage
from tests.conftest import WriteScript
from webapp.accounts.models import User
from webapp.billing import pricing, refusals
from webapp.billing.models import Account
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

RATES = pricing.Rates(input_nano=4 * 10**9, cached_input_nano=4 * 10**9, output_nano=16 * 10**9)
CALL_TOKENS = 4_000
CALL_NANO = CALL_TOKENS * 16_000 + 1_000 * 4_000  # 0.068


def call(*, fence: int = 1, tokens: int = CALL_TOKENS) -> budgets.Call:
    return budgets.Call(
        fence=fence,
        rates=RATES,
        spent=Usage(),
        max_input_tokens=1_000,
        max_output_tokens=tokens,
        ttl=timedelta(hours=1),
    )


@pytest.fixture
def top(alice: User, scripted_model: ServedModel, script: WriteScript) -> Turn:
    """A turn that may cost 0.50 with its agents, held at fence 1."""
    script("text: done")
    scripted_model.prices.update(input_per_million="4", cached_input_per_million="4", output_per_million="16")
    Account.objects.filter(user=alice).update(balance_nano=10**12)
    limits = Wanted(max_cost="0.50")
    command = TurnSend(client_id=str(uuid4()), text="Hi", model="scripted", long_thinking=True, limits=limits)
    turn = dispatch.submit_turn(alice, command)
    assert turns.claim(turn.id) == 1
    return Turn.objects.select_related("conversation__user", "model").get(id=turn.id)


@pytest.fixture
def spawn(top: Turn) -> Callable[[int], list[Turn]]:
    """Agents of the turn, each held at fence 1."""

    def spawn_so_many(number: int) -> list[Turn]:
        bounds = Limits(max_steps=99, max_seconds=60, max_reasoning_tokens=9, max_output_tokens=10**6)
        tasks = [AgentTask(task=f"task {index}", limits=bounds) for index in range(number)]
        ids = async_to_sync(DatabaseCrew(top, fence=1).spawn)(tasks, key="k")
        for agent in ids:
            assert turns.claim(Turn.objects.get(id=agent).id) == 1
        return list(Turn.objects.filter(id__in=ids).order_by("created_at"))

    return spawn_so_many


def spend(turn: Turn, cost_nano: int) -> None:
    with transaction.atomic():
        budgets.settle(turn, cost_nano)


def sums(top: Turn) -> tuple[int, int]:
    top.refresh_from_db()
    return top.budget_spent_nano, top.budget_reserved_nano


def work_until_the_money_is_gone(turn: Turn, seed: int) -> int:
    """What an agent does that never finishes by itself: what it spent."""
    chance, spent = random.Random(seed), 0
    try:
        while True:
            granted = budgets.reserve_now(turn, call())
            cost = chance.randint(granted.max_tokens * 8_000, granted.max_tokens * 16_000)
            spend(turn, cost)
            spent += cost
    except BudgetExhausted:
        return spent
    finally:
        connections.close_all()


def test_eight_agents_at_once_spend_no_more_than_the_budget(
    top: Turn, spawn: Callable[[int], list[Turn]], record_property: Callable[[str, object], None]
) -> None:
    agents = spawn(8)
    with ThreadPoolExecutor(8) as threads:
        spent = list(threads.map(work_until_the_money_is_gone, agents, range(8)))
    record_property("spent of 500,000,000", sum(spent))
    assert sums(top) == (sum(spent), 0)
    assert 450_000_000 < sum(spent) <= 500_000_000
    last = budgets.reserve_now(top, call())
    assert last.is_final, "the turn itself may still answer, once"
    spend(top, 10**9)
    with pytest.raises(BudgetExhausted):
        budgets.reserve_now(top, call())


def test_a_call_that_does_not_fit_gets_fewer_tokens_then_must_be_the_answer(
    top: Turn, spawn: Callable[[int], list[Turn]]
) -> None:
    [agent] = spawn(1)
    spend(top, 500_000_000 - 3_000 * 16_000 - 4_000_000)
    assert budgets.reserve_now(agent, call()) == Grant(max_tokens=3_000)
    spend(agent, 2_000 * 16_000)
    assert budgets.reserve_now(agent, call()) == Grant(max_tokens=1_000, is_final=True)
    spend(agent, 1_000 * 16_000)
    with pytest.raises(BudgetExhausted):
        budgets.reserve_now(agent, call())


def test_what_a_dead_worker_set_aside_is_not_lost(top: Turn, spawn: Callable[[int], list[Turn]]) -> None:
    first, second = spawn(2)
    budgets.reserve_now(first, call())
    budgets.reserve_now(second, call())
    assert sums(top) == (0, 2 * CALL_NANO)
    budgets.reserve_now(first, call())  # after its worker died, another makes the call again
    assert sums(top) == (0, 2 * CALL_NANO)
    turns.finish(second.id, fence=1, finish_reason=FinishReason.CANCELLED, error="", last_seq=1)
    spend(first, 7)
    assert sums(top) == (7, 0)


def test_a_worker_that_was_overtaken_sets_nothing_aside(
    top: Turn, spawn: Callable[[int], list[Turn]]
) -> None:
    [agent] = spawn(1)
    for turn in (top, agent):
        with pytest.raises(budgets.CallLost):
            budgets.reserve_now(turn, call(fence=9))
    assert sums(top) == (0, 0)


def test_a_call_waits_while_only_calls_in_flight_are_in_its_way(
    top: Turn, spawn: Callable[[int], list[Turn]]
) -> None:
    first, second = spawn(2)
    budgets.reserve_now(first, call(tokens=30_000))

    async def the_first_ends(_seconds: float) -> None:
        await sync_to_async(spend)(first, 1)

    assert async_to_sync(budgets.reserve)(second, call(), sleep=the_first_ends).max_tokens == CALL_TOKENS


def test_an_agent_waits_while_those_beside_it_hold_the_last_of_the_account(
    top: Turn, spawn: Callable[[int], list[Turn]]
) -> None:
    first, second = spawn(2)
    held = Account.objects.get(user=top.conversation.user).held_nano
    Account.objects.update(balance_nano=held + CALL_NANO + 1)
    budgets.reserve_now(first, call())
    with pytest.raises(refusals.InsufficientFunds):
        budgets.reserve_now(second, call())

    async def the_first_ends(_seconds: float) -> None:
        reason = FinishReason.CANCELLED
        await sync_to_async(turns.finish)(first.id, fence=1, finish_reason=reason, error="", last_seq=1)

    assert async_to_sync(budgets.reserve)(second, call(), sleep=the_first_ends).max_tokens == CALL_TOKENS


def test_no_reservation_is_left_when_all_are_done(top: Turn, spawn: Callable[[int], list[Turn]]) -> None:
    for agent in spawn(3):
        budgets.reserve_now(agent, call())
        spend(agent, 5)
    assert sums(top) == (15, 0)
    assert Turn.objects.aggregate(total=Sum("call_reserved_nano")) == {"total": 0}
