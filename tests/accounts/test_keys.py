"""API keys: shown once, kept as a hash, recognised until revoked."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from webapp.accounts import keys
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
    with django_assert_num_queries(1):
        keys.authenticate(secret)
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    with django_assert_num_queries(2):
        keys.authenticate(secret)


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
