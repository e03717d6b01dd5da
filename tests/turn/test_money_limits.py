"""What ends a turn for want of money or of a provider: an answer with what is known, and words that say when
there is more."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from pytest_django import Settings

from agents.limits import Limit
from agents.steps.progress import Parked
from agents.tool import WaitingFor
from chat import budgets, dispatch, segment, tasks, turns
from chat.frames import Limits
from chat.models import Message, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.test_crash import drive_to_the_end
from tests.turn.test_heavy import Ask, agents_of, ask, drive_all, heavy_script
from webapp.accounts.models import User
from webapp.billing import accounts, daily
from webapp.billing.models import Account, UsageRecord
from webapp.database_clock import FromNow

__all__ = ["ask"]
pytestmark = pytest.mark.django_db(transaction=True)

LOOKS = 'call: calculate {"expression": "1"}'
WORDS = " ".join(["word"] * 300)
NANO = 10**9


def on_and_on(script: WriteScript) -> None:
    script(
        Reply(when="", step=None, lines=(f"text: {WORDS}", LOOKS)),
    )


def test_a_turn_that_reaches_the_daily_limit_answers_and_says_when_it_renews(
    ask: Ask, script: WriteScript, alice: User
) -> None:
    on_and_on(script)
    daily.set_own_limit(accounts.of(alice), Decimal("0.25"))
    turn = ask(effort="high")
    drive_to_the_end(turn)
    turn.refresh_from_db()
    assert (turn.finish_reason, turn.limit) == ("length", Limit.DAILY_COST)
    assert "daily limit of 0.25 USD" in turn.error
    assert "renews at" in turn.error
    last = Message.objects.filter(turn=turn, role="note", kind="budget").last()
    assert last is not None
    assert last.data["limit"] == "daily_cost"
    account = Account.objects.get(user=alice)
    assert 0 < account.spent_today_nano <= 250_000_000
    assert UsageRecord.objects.get().cost_nano == account.spent_today_nano


def test_the_next_turn_is_refused_with_the_same_words_and_nothing_is_left_behind(
    ask: Ask, script: WriteScript, alice: User
) -> None:
    on_and_on(script)
    daily.set_limit(accounts.of(alice), Decimal("0.0001"))
    with pytest.raises(dispatch.Refusal) as refused:
        ask()
    assert refused.value.code == "daily_limit_reached"
    assert "renews at" in refused.value.message
    assert not Turn.objects.exists()


def test_a_turn_whose_account_runs_out_answers_with_what_it_knows(
    ask: Ask, script: WriteScript, alice: User
) -> None:
    on_and_on(script)
    Account.objects.filter(user=alice).update(balance_nano=NANO // 4)
    turn = ask(effort="high")
    drive_to_the_end(turn)
    turn.refresh_from_db()
    assert (turn.finish_reason, turn.limit) == ("length", Limit.FUNDS)
    assert 0 <= Account.objects.get(user=alice).balance_nano < NANO // 4


def test_eight_agents_together_stay_within_the_day(ask: Ask, script: WriteScript, alice: User) -> None:
    heavy_script(script)
    daily.set_limit(accounts.of(alice), Decimal("0.30"))
    turn = ask(effort="heavy")
    drive_all()
    turn.refresh_from_db()
    assert turn.status == Turn.Status.FINISHED
    account = Account.objects.get(user=alice)
    assert (account.held_nano, account.spent_today_nano <= 300_000_000) == (0, True)


# ---- a provider that takes no requests


def parked_for_quota(turn: Turn, *, wake_in_s: float) -> bool:
    turn.refresh_from_db()
    return turns.waits_too_long(turn, Parked(waiting_for=WaitingFor.QUOTA, wake_in_s=wake_in_s))


def test_a_turn_gives_up_once_it_has_waited_for_its_provider_too_long(
    ask: Ask, script: WriteScript, settings: Settings, alice: User
) -> None:
    settings.QUOTA_PATIENCE_S = 400
    script(
        Reply(step=1, lines=("text: As far as I know. ", LOOKS)),
        Reply(step=2, lines=("error: overloaded@300 No requests left.",)),
    )
    turn = ask()
    while turns_driven(turn):
        pass
    turn.refresh_from_db()
    assert (turn.status, turn.waiting_for) == ("waiting", "quota")
    since = turn.quota_since
    assert since is not None
    # Five minutes later it is refused again: that would be ten in all.
    Turn.objects.update(quota_since=since - timedelta(seconds=300), wake_at=FromNow())
    drive_to_the_end(turn)
    assert (turn.finish_reason, turn.limit) == ("length", Limit.QUOTA)
    assert "takes no requests for too long" in turn.error
    assert Message.objects.filter(turn=turn, parts__text__startswith="As far as I know").exists()
    assert Account.objects.get(user=alice).held_nano == 0
    assert UsageRecord.objects.get().output_tokens > 0


def test_a_provider_that_takes_requests_again_is_forgiven(ask: Ask, script: WriteScript) -> None:
    script(Reply(step=1, lines=("error: overloaded@300 No requests left.",)))
    turn = ask()
    while turns_driven(turn):
        pass
    Turn.objects.update(wake_at=FromNow())
    script(Reply(step=1, lines=(LOOKS,)), Reply(step=2, lines=("text: There.",)))
    drive_to_the_end(turn)
    assert (turn.finish_reason, turn.quota_since) == ("stop", None)


def turns_driven(turn: Turn) -> bool:
    return async_to_sync(segment.drive)(turn.id)


# ---- the sweep


def test_a_fault_in_one_part_of_the_sweep_does_not_stop_the_others(
    ask: Ask, script: WriteScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    script("text: Here.")
    turn = ask()
    Turn.objects.update(wake_at=None)
    rung: list[Any] = []
    monkeypatch.setattr(tasks, "ring", rung.append)
    done: list[str] = []

    def failing() -> None:
        done.append("failing")
        raise ValueError("a row that nobody foresaw")

    parts = (failing, *tasks.SWEPT, lambda: done.append("last"))
    monkeypatch.setattr(tasks, "SWEPT", parts)
    tasks.sweep()
    assert rung == [turn.id]
    assert done == ["failing", "last"]


def test_what_its_agents_have_cost_is_known_to_a_turn(ask: Ask, script: WriteScript) -> None:

    heavy_script(script)
    turn = ask(effort="heavy", limits=Limits(max_cost="5"))
    drive_all()
    spent = sum(agent.budget_spent_nano for agent in agents_of(turn))
    assert budgets.spent_by_agents(turn) == spent > 0
    assert budgets.spent_by_agents(agents_of(turn)[0]) is None
