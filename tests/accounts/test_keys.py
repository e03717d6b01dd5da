"""API keys: shown once, kept as a hash, recognised until revoked."""

import time
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tests import services
from webapp.accounts import keys, teams
from webapp.accounts.models import ApiKey, User


def test_a_secret_is_long_random_and_stored_only_as_a_hash(alice):
    key, secret = keys.create(alice, name="laptop")
    _, other = keys.create(alice, name="laptop")
    assert secret.startswith("sk-")
    assert len(secret) >= 3 + 43
    assert secret != other
    stored = ApiKey.objects.values().get(pk=key.pk)
    assert secret not in map(str, stored.values())
    assert secret.startswith(stored["prefix"])


def test_a_key_is_recognised_until_it_is_revoked(alice):
    key, secret = keys.create(alice, name="laptop")
    assert keys.authenticate(secret) == key
    assert keys.authenticate(secret + "x") is None
    keys.revoke(key)
    assert keys.authenticate(secret) is None
    revoked_at = key.revoked_at
    keys.revoke(key)
    assert key.revoked_at == revoked_at


@pytest.mark.parametrize("secret", ["", "sk-", "\udcff", "x" * 100_000])
def test_nonsense_is_no_key(db, secret):
    assert keys.authenticate(secret) is None


def test_the_last_use_is_written_at_most_once_a_minute(alice, django_assert_num_queries):
    key, secret = keys.create(alice, name="laptop")
    keys.authenticate(secret)
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert timezone.now() - key.last_used_at < timedelta(seconds=10)
    with django_assert_num_queries(0):
        keys.authenticate(secret)
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    keys.forget()
    with django_assert_num_queries(2):
        keys.authenticate(secret)


def test_what_another_process_revokes_is_refused_within_a_second(alice):
    key, secret = keys.create(alice, name="laptop")
    assert keys.authenticate(secret) == key
    ApiKey.objects.update(revoked_at=timezone.now())  # as another process does: nothing tells this one
    revoked_at = time.monotonic()
    services.wait_until(lambda: keys.authenticate(secret) is None, within_s=30, what="the refusal")
    assert keys.REMEMBERED_S < 1
    assert time.monotonic() - revoked_at < 30


def test_a_rotated_key_has_two_live_secrets_until_the_grace_ends(alice):
    key, first = keys.create(alice, name="laptop")
    second = keys.rotate(key, grace=timedelta(hours=1))
    assert keys.authenticate(first) == keys.authenticate(second) == key
    third = keys.rotate(key, grace=timedelta(0))
    assert [keys.authenticate(secret) for secret in (first, second)] == [None, None]
    assert keys.authenticate(third) == key


def test_a_key_ends_with_its_time_its_user_its_project_and_its_team(alice):
    past = timezone.now() - timedelta(seconds=1)
    _, expired = keys.create(alice, name="old", expires_at=past)
    assert keys.authenticate(expired) is None
    team = teams.create(alice, name="Urban heat")
    project = team.projects.get()
    _, secret = keys.create(alice, name="service", project=project)
    assert keys.authenticate(secret) is not None
    teams.archive_project(alice, project)
    assert keys.authenticate(secret) is None


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"scope": "inference", "model": "kimi", "address": "10.1.2.3"}, None),
        ({"scope": "inference", "model": "kimi", "address": "::ffff:10.1.2.3"}, None),
        ({"scope": "inference", "model": "kimi", "address": "2001:db8::9"}, None),
        ({"scope": "files", "model": "kimi", "address": "10.1.2.3"}, "scope_missing"),
        ({"scope": "inference", "model": "other", "address": "10.1.2.3"}, "model_not_allowed"),
        ({"scope": "inference", "model": "kimi", "address": "192.0.2.1"}, "address_not_allowed"),
        ({"scope": "inference", "model": "kimi", "address": ""}, "address_not_allowed"),
    ],
)
def test_a_key_is_good_for_its_scopes_models_and_networks_alone(alice, asked, code):
    key, _ = keys.create(
        alice,
        name="narrow",
        scopes=["inference"],
        model_names=["kimi"],
        networks=["10.0.0.0/8", "2001:db8::/32"],
    )
    if code is None:
        keys.check(key, **asked)
        return
    with pytest.raises(keys.KeyForbids) as refusal:
        keys.check(key, **asked)
    assert refusal.value.code == code


@pytest.mark.parametrize("options", [{"scopes": ["root"]}, {"networks": ["everywhere"]}])
def test_a_key_of_nonsense_is_not_made(alice, options):
    with pytest.raises(ValueError, match=r"root|everywhere"):
        keys.create(alice, name="x", **options)


def test_a_key_made_in_the_admin_is_shown_once_and_works(client, alice):
    client.force_login(User.objects.create_superuser("root", "root@example.com", "root-password-1"))
    form = {"user": alice.pk, "name": "office"}
    shown = client.post(reverse("admin:accounts_apikey_add"), form, follow=True).content.decode()
    secret = shown[shown.index("sk-") :].split(".")[0]
    key = ApiKey.objects.get(user=alice)
    assert keys.authenticate(secret) == key
    pages = [
        reverse("admin:accounts_apikey_changelist"),
        reverse("admin:accounts_apikey_change", args=[key.pk]),
    ]
    for url in pages:
        text = client.get(url).content.decode()
        assert secret not in text
        assert key.secret_hash not in text
    client.post(pages[0], {"action": "revoke", "_selected_action": [str(key.pk)]})
    assert keys.authenticate(secret) is None
