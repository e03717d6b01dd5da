"""The audit log: who changed what, from what to what; secrets are not in it, and it stays as it is."""

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse

from webapp.accounts import audit, keys, teams
from webapp.accounts.append_only import RowIsFinal
from webapp.accounts.models import AuditEntry, User


@pytest.fixture
def root(db):
    return User.objects.create_superuser("root", "root@example.com", "root-password-1")


def test_what_an_administrator_changes_is_written_down_with_before_and_after(client, root, alice):
    client.force_login(root)
    page = reverse("admin:accounts_user_change", args=[alice.pk])
    form = client.get(page).context["adminform"].form
    said = {name: value for name, value in form.initial.items() if value not in (None, [], False)}
    said |= {"is_staff": "on", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    assert client.post(page, said).status_code == 302
    entry = AuditEntry.objects.get(kind="user", action="changed")
    assert (entry.actor, entry.subject, entry.address) == ("root", "alice", "127.0.0.1")
    assert (entry.before["is_staff"], entry.after["is_staff"]) == (False, True)
    listed = client.get(reverse("admin:accounts_auditentry_changelist")).content.decode()
    assert "alice" in listed


def test_secrets_are_told_as_changed_and_not_shown(alice):
    with audit.acting("command line"):
        key, secret = keys.create(alice, name="laptop")
        keys.rotate(key)
        alice.set_password("another-password-1")
        alice.save()
    told = [str((entry.before, entry.after)) for entry in AuditEntry.objects.all()]
    assert len(told) == 3
    for text in told:
        assert "•••" in text
        assert secret not in text
        assert key.secret_hash not in text
        assert alice.password not in text


def test_what_happens_by_itself_is_no_change(alice):
    _, secret = keys.create(alice, name="laptop")
    with audit.acting("command line"):
        keys.authenticate(secret)
        alice.save()
    assert not AuditEntry.objects.exists()


def test_a_team_reads_its_own_entries(alice, bob):
    with audit.acting("alice"):
        team = teams.create(alice, name="Urban heat")
        teams.create(bob, name="Another")
        teams.add(alice, team, who="bob", role="viewer")
    entries = teams.audit_of(alice, team)
    assert {entry.kind for entry in entries} == {"team", "membership", "project"}
    assert "Another" not in str([entry.subject for entry in entries])


def test_the_database_itself_keeps_the_log(alice):
    with audit.acting("alice"):
        teams.create(alice, name="Urban heat")
    entry = AuditEntry.objects.latest("id")
    with pytest.raises(RowIsFinal):
        entry.save()
    for change in (
        lambda: AuditEntry.objects.update(actor="nobody"),
        lambda: AuditEntry.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
