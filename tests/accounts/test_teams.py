"""Teams: roles allow what they say, and no team is left without an owner."""

import pytest

from webapp.accounts import keys, teams
from webapp.accounts.models import Membership, Role


@pytest.fixture
def team(alice):
    return teams.create(alice, name="Urban heat")


def test_whoever_makes_a_team_owns_it_and_others_do_not_see_it(alice, bob, team):
    assert teams.role_of(alice, team) == Role.OWNER
    assert teams.for_user(alice, team.pk) == team
    assert teams.for_user(bob, team.pk) is None


@pytest.mark.parametrize("role", [role for role in Role if role != Role.OWNER])
def test_a_role_may_do_what_it_says_and_nothing_else(alice, bob, team, role):
    teams.add(alice, team, who="bob", role=role)
    doings = {
        "people": lambda: teams.rename(bob, team, name="Cool cities"),
        "projects": lambda: teams.create_project(bob, team, name=f"of {role}"),
        "audit": lambda: teams.audit_of(bob, team),
        "owners": lambda: teams.archive(bob, team),
    }
    for action, do in doings.items():
        if action in teams.MAY[role]:
            do()
            continue
        with pytest.raises(teams.NotAllowed):
            do()


def test_an_admin_makes_no_owner_and_unmakes_none(alice, bob, team):
    teams.add(alice, team, who="bob", role=Role.ADMIN)
    mine, his = Membership.objects.get(user=alice), Membership.objects.get(user=bob)
    with pytest.raises(teams.NotAllowed):
        teams.set_role(bob, his, role=Role.OWNER)
    with pytest.raises(teams.NotAllowed):
        teams.remove(bob, mine)


def test_the_last_owner_stays(alice, bob, team):
    mine = Membership.objects.get(user=alice)
    with pytest.raises(teams.TeamRefusal):
        teams.remove(alice, mine)
    teams.add(alice, team, who="bob", role=Role.OWNER)
    teams.set_role(alice, mine, role=Role.VIEWER)
    with pytest.raises(teams.TeamRefusal):
        teams.set_role(bob, Membership.objects.get(user=bob), role=Role.ADMIN)


def test_who_leaves_loses_their_keys_of_the_team_and_keeps_their_own(alice, bob, team):
    his = teams.add(alice, team, who="bob", role=Role.MEMBER)
    _, service = keys.create(bob, name="service", project=team.projects.get())
    _, own = keys.create(bob, name="own")
    teams.remove(bob, his)
    assert keys.authenticate(service) is None
    assert keys.authenticate(own) is not None


def test_nobody_is_added_twice_or_out_of_nowhere(alice, bob, team):
    teams.add(alice, team, who="bob", role=Role.MEMBER)
    for who in ("bob", "nobody"):
        with pytest.raises(teams.TeamRefusal):
            teams.add(alice, team, who=who, role=Role.MEMBER)


def test_a_service_key_is_worth_what_its_makers_role_is(alice, bob, team):
    his = teams.add(alice, team, who="bob", role=Role.MEMBER)
    key, secret = keys.create(bob, name="service", project=team.projects.get())
    teams.set_role(alice, his, role=Role.VIEWER)
    keys.forget()
    assert keys.authenticate(secret) is None
    assert not keys.is_good(key)
    teams.set_role(alice, his, role=Role.MEMBER)
    assert keys.authenticate(secret) is not None
    Membership.objects.all().delete()
    keys.forget()
    assert keys.authenticate(secret) is None
    assert frozenset(keys.USERS) == {role for role, may in teams.MAY.items() if "use" in may}


def test_an_admin_ends_anothers_key_but_does_not_get_its_secret(alice, bob, team):
    teams.add(alice, team, who="bob", role=Role.MEMBER)
    key, _secret = keys.create(bob, name="service", project=team.projects.get())
    with pytest.raises(teams.NotAllowed):
        teams.rotate_key(alice, key)
    assert teams.rotate_key(bob, key)
    teams.revoke_key(alice, key)
    assert not keys.is_good(key)
