"""Invitations into a team: for whoever reads the mail of an address, once, and for nobody else."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.urls import reverse
from django.utils import timezone

from webapp.accounts import attempts, teams
from webapp.accounts.models import AuditEntry, Invitation, Membership, Role, Team, User


@pytest.fixture
def team(alice):
    return teams.create(alice, name="Urban heat")


class Inviting:
    """Calling it, alice invites: the link that the mail brought, None where none was sent."""

    def __init__(self, client, alice, team):
        self.client, self.alice, self.team, self.said = client, alice, team, ""

    def __call__(self, who="bob@example.com", role="member"):
        self.client.force_login(self.alice)
        before = len(mail.outbox)
        address = reverse("add_member", args=[self.team.pk])
        self.said = self.client.post(address, {"who": who, "role": role}, follow=True).content.decode()
        found = [re.search(r"http://testserver(/\S+)", str(letter.body)) for letter in mail.outbox[before:]]
        return found[0][1] if found and found[0] else None


@pytest.fixture
def invite(client, alice, team):
    return Inviting(client, alice, team)


def test_the_mailed_link_lets_the_account_of_its_address_in_once(client, invite, team, bob):
    link = invite("Bob@Example.com", role="viewer")
    assert mail.outbox[-1].to == ["bob@example.com"]
    assert teams.role_of(bob, team) is None  # an address by itself opens nothing
    assert "bob@example.com" in invite.said
    client.force_login(bob)
    assert "Join Urban heat?" in client.get(link).content.decode()
    assert teams.role_of(bob, team) is None  # a mail reader that looks at links joins nothing
    assert client.post(link)["Location"] == reverse("team", args=[team.pk])
    assert teams.role_of(bob, team) == Role.VIEWER
    Membership.objects.filter(user=bob).delete()
    again = client.post(link)
    assert again.status_code == 404
    assert "This link no longer works" in again.content.decode()
    assert teams.role_of(bob, team) is None


def test_a_link_opens_nothing_for_another_account(client, invite, team, bob, db):
    carol = User.objects.create_user("carol", "carol@example.com", "carol-password-1")
    link = invite()
    assert client.post(link).status_code == 200  # alice, who sent it
    client.force_login(carol)
    assert "bob@example.com, and you are signed in as carol" in client.post(link).content.decode()
    assert teams.role_of(carol, team) is None
    client.logout()
    assert client.get(link)["Location"].startswith("/sign-in/?next=/invitations/")


def test_whoever_took_an_address_for_a_name_gets_nothing_of_what_is_sent_there(invite, team, db):
    thief = User.objects.create_user("dora@example.com", "thief@example.com", "thief-password-1")
    invite("dora@example.com")
    assert teams.role_of(thief, team) is None
    assert mail.outbox[-1].to == ["dora@example.com"]
    assert Invitation.objects.get().address == "dora@example.com"


def expire(link):
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def withdraw(link):
    Invitation.objects.get().delete()


def archive(link):
    Team.objects.update(archived_at=timezone.now())


def demote(link):
    Membership.objects.update(role=Role.MEMBER)


@pytest.mark.parametrize("end", [expire, withdraw, archive, demote])
def test_a_link_ends_with_its_days_its_team_and_the_right_of_who_sent_it(client, invite, team, bob, end):
    link = invite()
    end(link)
    client.force_login(bob)
    assert client.get(link).status_code == client.post(link).status_code == 404
    assert teams.role_of(bob, team) is None


def test_a_new_link_ends_the_one_before_and_a_withdrawn_one_is_gone(client, invite, team, alice, bob):
    first, second = invite(), invite()
    client.force_login(bob)
    assert client.get(first).status_code == 404
    assert client.get(second).status_code == 200
    waiting = Invitation.objects.get()
    address = reverse("withdraw_invitation", args=[team.pk, waiting.pk])
    assert client.post(address).status_code == 404  # another's team
    client.force_login(alice)
    client.post(address)
    assert not Invitation.objects.exists()
    assert {entry.action for entry in AuditEntry.objects.filter(kind="invitation")} == {"created", "deleted"}
    assert waiting.token_hash not in str(list(AuditEntry.objects.values_list("before", "after")))


def test_who_may_not_let_people_in_invites_nobody(client, team, bob, alice):
    teams.add(alice, team, who="bob", role=Role.VIEWER)
    client.force_login(bob)
    form = {"who": "eve@example.com", "role": "member"}
    assert client.post(reverse("add_member", args=[team.pk]), form).status_code == 403
    teams.set_role(alice, Membership.objects.get(user=bob), role=Role.ADMIN)
    assert client.post(reverse("add_member", args=[team.pk]), form | {"role": "owner"}).status_code == 403
    assert mail.outbox == []


def test_what_cannot_be_sent_invites_nobody_and_says_so(invite, monkeypatch):
    def refuse(*_arguments):
        raise ConnectionRefusedError

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    assert invite() is None
    assert "The mail could not be sent" in invite.said
    assert not Invitation.objects.exists()


def test_a_wrong_address_a_member_and_too_many_are_refused(invite, team, alice, monkeypatch):
    assert invite("not@an@address") is None
    assert "valid email" in invite.said
    assert invite("alice@example.com") is None
    assert "is in the team already" in invite.said
    monkeypatch.setitem(attempts.MOST, "invite", 1)
    for who in ("one@example.com", "two@example.com", "three@example.com"):
        invite(who)
    assert "Too many were invited" in invite.said
    assert len(mail.outbox) <= 2
