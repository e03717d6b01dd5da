"""What a caller counts under, and whose word sets each limit."""

from decimal import Decimal

import pytest

from webapp.accounts import keys, teams
from webapp.billing import accounts, scopes, seeds
from webapp.billing.models import Account, Plan, Quota


@pytest.fixture(autouse=True)
def _anew():
    scopes.forget()


def limits(found):
    return {scope.kind: (scope.requests_per_minute, scope.concurrency) for scope in found}


def test_a_persons_key_counts_under_key_person_model_and_everybody(carol, settings):
    key, _ = keys.create(carol, name="laptop")
    settings.KEY_REQUESTS_PER_MINUTE, settings.REQUESTS_PER_MINUTE, settings.CONCURRENT_REQUESTS = 7, 8, 9
    assert limits(scopes.of(key, model="kimi")) == {
        "key": (7, None),
        "user": (8, 9),
        "model": (None, None),
        "global": (None, None),
    }
    assert [scope.kind for scope in scopes.of_user(carol, model="kimi")] == ["user", "model", "global"]


def test_a_service_key_counts_under_its_project_and_team_which_go_by_their_plan(carol):
    team = teams.create(carol, name="Urban heat")
    key, _ = keys.create(carol, name="service", project=team.projects.get())
    seeds.seed_plans(by_top_up=True)
    accounts.top_up(accounts.of_team(team), Decimal(25), "transfer")
    found = scopes.of(key, model="kimi")
    assert [scope.kind for scope in found] == ["key", "user", "project", "team", "model", "global"]
    assert limits(found)["team"] == (500, 100)
    Account.objects.update(plan=Plan.objects.get(name="Tier 5"))
    scopes.forget()
    assert limits(scopes.of(key, model="kimi"))["team"] == (10_000, 1_000)


def test_a_quota_goes_before_plan_and_settings(carol):
    key, _ = keys.create(carol, name="laptop")
    for scope, subject in (("key", str(key.pk)), ("model", "kimi"), ("global", "")):
        Quota.objects.create(scope=scope, subject=subject, requests_per_minute=3)
    found = limits(scopes.of(key, model="kimi"))
    assert found["key"] == found["model"] == found["global"] == (3, None)
    assert limits(scopes.of(key, model="other"))["model"] == (None, None)


def test_a_busy_key_costs_no_query(carol, django_assert_num_queries):
    key, _ = keys.create(carol, name="laptop")
    scopes.of(key, model="kimi")
    with django_assert_num_queries(0):
        scopes.of(key, model="kimi")
