"""Budgets: what a key, a user, a project or a team may spend, exactly, whoever asks at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from inference.schema import Usage
from tests.billing.conftest import TTL
from webapp.accounts import keys, teams
from webapp.billing import accounts, budgets, holds, refusals
from webapp.billing.models import Account, Budget, Scope

CENT = 10_000_000  # nano-dollars


def place(user, model, *, cents, api_key=None):
    """A hold of so many cents: 4,000 output tokens cost one."""
    return holds.place(
        user, model=model, max_input_tokens=0, max_output_tokens=4_000 * cents, ttl=TTL, api_key=api_key
    )


def settle(hold, *, cents):
    usage = Usage(output_tokens=4_000 * cents)
    return holds.settle(hold.id, usage=usage, source="api", reference="r", finish_reason="stop")


def budget(scope, subject, *, cents, period="month", soft=None):
    return budgets.set_for(
        scope,
        str(subject),
        period=period,
        currency="USD",
        soft=None if soft is None else Decimal(soft) / 100,
        hard=Decimal(cents) / 100,
    )


@pytest.fixture
def team_key(carol):
    """Carol's service key; the team has 5.00."""
    team = teams.create(carol, name="Urban heat")
    accounts.top_up(accounts.of_team(team), Decimal(5), "transfer")
    key, _ = keys.create(carol, name="service", project=team.projects.get())
    return key


def test_a_projects_key_is_paid_by_its_team(carol, kimi, team_key):
    before = accounts.of(carol).balance_nano
    record = settle(place(carol, kimi, cents=3, api_key=team_key), cents=2)
    assert accounts.of(carol).balance_nano == before
    paid = accounts.of_team(team_key.project.team)
    assert paid.balance_nano == 498 * CENT == accounts.ledger_total_nano(paid)
    assert (record.user, record.project, record.api_key) == (carol, team_key.project, team_key)


@pytest.mark.parametrize("scope", [Scope.KEY, Scope.USER, Scope.PROJECT, Scope.TEAM])
def test_a_hard_budget_stops_what_could_cross_it_and_names_its_figures(carol, kimi, team_key, scope):
    project = team_key.project
    subject = {"key": team_key.pk, "user": carol.pk, "project": project.pk, "team": project.team_id}[scope]
    row = budget(scope, subject, cents=10)
    settle(place(carol, kimi, cents=6, api_key=team_key), cents=4)
    held = place(carol, kimi, cents=5, api_key=team_key)
    with pytest.raises(refusals.BudgetReached) as refusal:
        place(carol, kimi, cents=2, api_key=team_key)
    assert (refusal.value.scope, refusal.value.limit_nano) == (scope, 10 * CENT)
    assert (refusal.value.spent_nano, refusal.value.held_nano) == (4 * CENT, 5 * CENT)
    assert "0.1000 USD" in str(refusal.value)
    holds.release(held.id)
    settle(place(carol, kimi, cents=6, api_key=team_key), cents=6)
    row.refresh_from_db()
    assert (row.spent_nano, row.held_nano) == (10 * CENT, 0)


def test_a_refusal_by_a_budget_leaves_the_account_as_it_was(carol, kimi):
    budget(Scope.USER, carol.pk, cents=1)
    with pytest.raises(refusals.BudgetReached):
        place(carol, kimi, cents=2)
    assert Account.objects.get(user=carol).held_nano == 0


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_budget_is_whole_again_in_its_next_period(carol, kimi, period):
    row = budget(Scope.USER, carol.pk, cents=5, period=period)
    settle(place(carol, kimi, cents=5), cents=5)
    Budget.objects.update(period_began=row.period_began or timezone.localdate() - timedelta(days=40))
    assert budgets.state(Budget.objects.get()).left_nano == 5 * CENT
    settle(place(carol, kimi, cents=5), cents=1)
    assert budgets.state(Budget.objects.get()).spent_nano == CENT


def test_a_hold_that_grows_is_counted_and_a_later_budget_is_not_given_back_to(carol, kimi):
    row = budget(Scope.USER, carol.pk, cents=9)
    hold = place(carol, kimi, cents=2)
    later = budget(Scope.USER, carol.pk, cents=9, period="day")
    holds.cover(hold.id, 8 * CENT, ttl=TTL)
    with pytest.raises(refusals.BudgetReached):
        holds.cover(hold.id, 10 * CENT, ttl=TTL)
    row.refresh_from_db()
    assert row.held_nano == 8 * CENT
    holds.release(hold.id)
    assert [Budget.objects.get(pk=one.pk).held_nano for one in (row, later)] == [0, 0]


@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_cross_a_budget(carol, kimi):
    row = budget(Scope.USER, carol.pk, cents=10)

    def one(_index):
        try:
            settle(place(carol, kimi, cents=3), cents=2)
        except refusals.BudgetReached:
            return 0
        finally:
            connection.close()
        return 2

    with ThreadPoolExecutor(16) as pool:
        spent = sum(pool.map(one, range(40)))
    row.refresh_from_db()
    assert (row.spent_nano, row.held_nano) == (spent * CENT, 0)
    assert 8 <= spent <= 10
    assert accounts.ledger_total_nano(accounts.of(carol)) == (500 - spent) * CENT
