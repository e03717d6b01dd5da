"""The pages of teams: what a role may do is offered and done, and nothing else."""

import re

import pytest
from django.urls import reverse

from webapp.accounts import keys, teams
from webapp.accounts.models import ApiKey, Membership
from webapp.billing.models import Budget


@pytest.fixture
def team(alice, client):
    client.force_login(alice)
    page = client.post(reverse("teams"), {"name": "Urban heat"}, follow=True)
    return page.context["team"]


def secret_on(page):
    return re.search(r"sk-[\w-]{40,}", page.content.decode())[0]  # type: ignore[index]  # it is there, or the test fails


def test_a_team_is_made_filled_and_given_a_service_key_on_its_page(client, team, alice, bob):
    client.post(reverse("add_member", args=[team.pk]), {"who": "bob", "role": "viewer"})
    client.post(reverse("add_project", args=[team.pk]), {"name": "Field work"})
    project = team.projects.get(name="Field work")
    form = {"name": "pipeline", "project": project.pk, "scopes": ["inference"], "networks": "10.0.0.0/8, ::1"}
    page = client.post(reverse("create_team_key", args=[team.pk]), form)
    key = keys.authenticate(secret_on(page))
    assert key is not None
    assert (key.project, key.scopes, key.networks) == (project, ["inference"], ["10.0.0.0/8", "::1/128"])
    again = client.post(reverse("change_team_key", args=[team.pk, key.pk]), {"rotate": "1"})
    assert keys.authenticate(secret_on(again)) == key
    client.post(reverse("change_team_key", args=[team.pk, key.pk]), {"revoke": "1"})
    assert ApiKey.objects.get().revoked_at is not None
    client.post(reverse("set_budget", args=[team.pk]), {"soft": "5", "hard": "10"})
    assert Budget.objects.get().hard_nano == 10_000_000_000
    shown = client.get(reverse("team", args=[team.pk])).content.decode()
    for text in ("Field work", "bob", "$10.00", "Who changed what"):
        assert text in shown
    assert (
        client.get(reverse("team", args=[team.pk]), headers={"Accept-Language": "zh-hans"}).status_code == 200
    )


def test_a_viewer_sees_and_changes_nothing_and_a_stranger_sees_nothing(client, team, alice, bob):
    teams.add(alice, team, who="bob", role="viewer")
    client.force_login(bob)
    assert client.get(reverse("team", args=[team.pk])).status_code == 200
    project = team.projects.get()
    mine = Membership.objects.get(user=alice)
    for name, more, form in (
        ("add_member", [], {"who": "bob", "role": "owner"}),
        ("change_member", [mine.pk], {"remove": "1"}),
        ("add_project", [], {"name": "x"}),
        ("archive_project", [project.pk], {}),
        ("create_team_key", [], {"name": "x", "project": project.pk}),
        ("set_budget", [], {"hard": "1"}),
        ("redeem_for_team", [], {"code": "x"}),
    ):
        assert client.post(reverse(name, args=[team.pk, *more]), form).status_code == 403, name
    Membership.objects.get(user=bob).delete()
    assert client.get(reverse("team", args=[team.pk])).status_code == 404
    assert client.post(reverse("add_project", args=[team.pk]), {"name": "x"}).status_code == 404


def test_what_cannot_be_is_told_on_the_page(client, team, alice):
    page = client.post(
        reverse("add_member", args=[team.pk]), {"who": "nobody", "role": "member"}, follow=True
    )
    assert "Invite them by their email address" in page.content.decode()
    mine = Membership.objects.get(user=alice)
    address = reverse("change_member", args=[team.pk, mine.pk])
    assert "no owner" in client.post(address, {"remove": "1"}, follow=True).content.decode()
    form = {"name": "x", "project": team.projects.get().pk, "networks": "everywhere"}
    faulty = client.post(reverse("create_team_key", args=[team.pk]), form)
    assert faulty.status_code == 422
    assert "neither an address" in faulty.content.decode()
