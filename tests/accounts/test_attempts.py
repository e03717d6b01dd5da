"""Guessing passwords, squatting on names, and hosts that are not ours."""

import pytest
from django.core import mail
from django.test import Client

from webapp.accounts import attempts

RIGHT = {"username": "alice", "password": "alice-password-1"}
WRONG = RIGHT | {"password": "a guess"}


def sign_in(client: Client, form, **headers):
    return client.post("/sign-in/", form, **headers)


def guess(client: Client, *, times=attempts.MOST["sign_in"], path="/sign-in/", **change):
    for _ in range(times):
        page = client.post(path, WRONG | change).content.decode()
        assert "Too many" not in page


def test_after_ten_wrong_passwords_even_the_right_one_has_to_wait(client, alice):
    guess(client)
    page = sign_in(client, RIGHT).content.decode()
    assert "Too many wrong passwords for this name. Try again in 15 minutes." in page
    assert "_auth_user_id" not in client.session
    # The owner is elsewhere, and not kept out.
    assert sign_in(client, RIGHT, REMOTE_ADDR="10.0.0.9").status_code == 302


def test_the_name_and_the_email_of_one_account_are_counted_together(client, alice):
    guess(client, times=5)
    guess(client, times=5, username="Alice@example.com")
    assert "Too many" in sign_in(client, RIGHT).content.decode()


def test_a_right_password_clears_the_count(client, alice):
    guess(client, times=9)
    assert sign_in(client, RIGHT).status_code == 302
    guess(Client(), times=9)


def test_the_administration_counts_too(client, alice):
    guess(client, path="/admin/login/")
    assert "Too many wrong passwords" in client.post("/admin/login/", RIGHT).content.decode()


def test_an_unknown_name_is_counted_like_a_known_one(client, db):
    guess(client, username="nobody")
    assert "Too many" in sign_in(client, WRONG | {"username": "nobody"}).content.decode()


def test_without_redis_one_signs_in(client, alice, settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock?db=0"
    guess(client, times=12)
    assert sign_in(client, RIGHT).status_code == 302


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_wrote(rf, settings):
    request = rf.get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="1.1.1.1, 2.2.2.2")
    assert attempts.address(request) == "10.0.0.1"
    settings.BEHIND_PROXY = True
    assert attempts.address(request) == "2.2.2.2"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"username": "Alice@example.com"}, "already exists"),
        ({"email": "bob@example.com"}, "An account with this email exists"),
    ],
)
def test_nobody_takes_a_name_that_is_anothers_email(client, alice, django_user_model, change, words):
    django_user_model.objects.create_user("bob@example.com", "robert@example.com", "bob-password-1")
    new = {"username": "carol", "email": "carol@example.com", "password": "a-long-secret-9"} | change
    assert words in client.post("/sign-up/", new).content.decode()
    assert django_user_model.objects.count() == 2


def test_a_reset_link_never_leads_to_a_host_that_is_not_ours(client, alice):
    answer = client.post("/password/reset/", {"email": alice.email}, headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert mail.outbox == []


def test_nobody_is_flooded_with_reset_mails(client, alice):
    for _ in range(5):
        assert client.post("/password/reset/", {"email": alice.email}).status_code == 302
    page = client.post("/password/reset/", {"email": alice.email.upper()}).content.decode()
    assert "Too many mails were asked for. Try again in 15 minutes." in page
    assert len(mail.outbox) == 5
    assert sign_in(client, RIGHT).status_code == 302
