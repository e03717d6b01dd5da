"""What strangers may not do often or at all: make accounts, read the figures of the platform; and that what
was sealed with a key of before stays good while that key is kept."""

import pytest
from django.core import signing
from django.urls import reverse

from webapp.accounts import attempts
from webapp.accounts.models import User
from webapp.api import thinking_seal


def test_only_so_many_accounts_come_from_one_address(client, db, monkeypatch):
    monkeypatch.setitem(attempts.MOST, "sign_up", 2)
    for index in range(4):
        person = {
            "username": f"one{index}",
            "email": f"one{index}@example.com",
            "password": "a-long-password-9",
        }
        response = client.post(reverse("sign_up"), person)
        client.logout()
    assert User.objects.count() == 2
    assert "Too many accounts" in response.content.decode()


@pytest.mark.parametrize(
    ("token", "headers", "address", "status"),
    [
        ("", {}, "127.0.0.1", 200),
        ("", {}, "::1", 200),
        ("", {}, "192.0.2.7", 404),
        ("tell-me", {}, "127.0.0.1", 404),
        ("tell-me", {"Authorization": "Bearer wrong"}, "127.0.0.1", 404),
        ("tell-me", {"Authorization": "Bearer tell-me"}, "192.0.2.7", 200),
    ],
)
def test_metrics_are_for_the_token_or_this_machine(client, db, settings, token, headers, address, status):
    settings.METRICS_TOKEN = token
    assert client.get("/metrics", headers=headers, REMOTE_ADDR=address).status_code == status


def test_what_was_sealed_with_a_key_of_before_is_good_while_it_is_kept(settings):
    before = settings.SECRET_KEY
    seal = thinking_seal.sign("hm", tenant="1", model="kimi")
    token = signing.dumps("share")

    def is_good():
        return thinking_seal.is_genuine("hm", seal, tenant="1", model="kimi") and signing.loads(token)

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another key, of now", [before]
    assert is_good()
    settings.SECRET_KEY_FALLBACKS = []
    assert not thinking_seal.is_genuine("hm", seal, tenant="1", model="kimi")
    with pytest.raises(signing.BadSignature):
        signing.loads(token)
