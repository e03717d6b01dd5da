"""Sign-up, sign-in, password reset, settings and keys, as forms."""

import re

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from webapp.accounts import keys
from webapp.accounts.models import ApiKey, User

NEW = {"username": "carol", "email": "carol@example.com", "password": "a-long-secret-9"}


def test_sign_up_makes_an_account_and_signs_in(client: Client, db: None) -> None:
    answer = client.post("/sign-up/", NEW)
    assert answer.status_code == 302
    assert answer["Location"] == "/"
    assert client.get("/").status_code == 200
    assert User.objects.get(username="carol").check_password("a-long-secret-9")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"username": "alice"}, "already exists"),
        ({"email": "ALICE@example.com"}, "An account with this email exists"),
        ({"email": "no address"}, "valid email"),
        ({"password": "short"}, "at least 10 characters"),
        ({"password": "carol@example.com"}, "too similar"),
        ({"username": "a b"}, "valid username"),
    ],
)
def test_a_wrong_sign_up_says_what_is_wrong(
    client: Client, alice: User, wrong: dict[str, str], words: str
) -> None:
    page = client.post("/sign-up/", NEW | wrong).content.decode()
    assert words in page
    assert 'aria-invalid="true"' in page
    assert User.objects.count() == 1


def test_sign_up_can_be_closed(client: Client, db: None, settings: Settings) -> None:
    settings.SIGN_UP_OPEN = False
    assert client.get("/sign-up/").status_code == 404
    assert "Accounts are made by your administrator" in client.get("/sign-in/").content.decode()


@pytest.mark.parametrize("name", ["alice", "alice@example.com", "Alice@Example.com"])
def test_one_signs_in_by_name_or_email(client: Client, alice: User, name: str) -> None:
    answer = client.post(
        "/sign-in/?next=/settings/", {"username": name, "password": "alice-password-1", "next": "/settings/"}
    )
    assert answer["Location"] == "/settings/"


def test_sign_in_never_leads_to_another_site(client: Client, alice: User) -> None:
    form = {"username": "alice", "password": "alice-password-1", "next": "https://evil.example/"}
    assert client.post("/sign-in/", form)["Location"] == "/"


def test_a_language_follows_its_person_at_sign_in(client: Client, alice: User) -> None:
    alice.language = "zh-hans"
    alice.save()
    client.post("/sign-in/", {"username": "alice", "password": "alice-password-1"})
    assert 'lang="zh-Hans"' in client.get("/").content.decode()


def test_sign_out_takes_a_form(alices_client: Client) -> None:
    assert alices_client.get("/sign-out/").status_code == 405
    assert alices_client.post("/sign-out/")["Location"] == "/sign-in/"
    assert alices_client.get("/").status_code == 302


def test_the_mailed_link_sets_a_new_password_once(client: Client, alice: User) -> None:
    client.post("/password/reset/", {"email": "alice@example.com"})
    (letter,) = mail.outbox
    link = re.search(r"http://testserver(/\S+)", str(letter.body))
    assert link is not None
    form = client.get(link[1])["Location"]
    answer = client.post(form, {"new_password1": "another-secret-9", "new_password2": "another-secret-9"})
    assert answer["Location"] == reverse("password_reset_complete")
    alice.refresh_from_db()
    assert alice.check_password("another-secret-9")
    assert "This link no longer works" in client.get(link[1]).content.decode()


def test_the_reset_page_tells_nobody_who_has_an_account(client: Client, alice: User) -> None:
    known = client.post("/password/reset/", {"email": "alice@example.com"})
    unknown = client.post("/password/reset/", {"email": "nobody@example.com"})
    assert known["Location"] == unknown["Location"]
    assert len(mail.outbox) == 1


def test_the_theme_is_saved_and_drawn(alices_client: Client) -> None:
    alices_client.post("/settings/", {"theme": "dark", "language": ""})
    assert 'data-theme="dark"' in alices_client.get("/settings/").content.decode()


@pytest.mark.parametrize("wrong", [{"theme": "pink", "language": ""}, {"theme": "dark", "language": "xx"}])
def test_a_setting_that_does_not_exist_is_refused(
    alices_client: Client, alice: User, wrong: dict[str, str]
) -> None:
    alices_client.post("/settings/", wrong)
    alice.refresh_from_db()
    assert (alice.theme, alice.language) == ("system", "")


def test_a_key_is_shown_once(alices_client: Client, alice: User) -> None:
    page = alices_client.post(reverse("create_key"), {"name": "Notebook"})
    secret = re.search(r"sk-[\w-]+", page.content.decode())
    assert secret is not None
    assert keys.authenticate(secret[0]) == ApiKey.objects.get(user=alice)
    assert "no-store" in page["Cache-Control"]
    assert secret[0] not in alices_client.get("/settings/keys/").content.decode()


def test_a_revoked_key_opens_nothing_and_is_gone_from_the_list(alices_client: Client, alice: User) -> None:
    key, secret = keys.create(alice, name="Notebook")
    alices_client.post(reverse("revoke_key", args=[key.pk]))
    assert keys.authenticate(secret) is None
    assert "Notebook" not in alices_client.get("/settings/keys/").content.decode()


def test_another_s_key_cannot_be_revoked(alices_client: Client, bob: User) -> None:
    key, secret = keys.create(bob, name="Bob's")
    assert alices_client.post(reverse("revoke_key", args=[key.pk])).status_code == 404
    assert keys.authenticate(secret) == key


def test_a_daily_limit_of_ones_own_is_set_shown_and_taken_away(client: Client, alice: User) -> None:
    client.force_login(alice)
    address = reverse("keys_and_usage")
    assert client.post(address, {"amount": "0.5"})["Location"] == address
    page = client.get(address).content.decode()
    assert "of $0.50 a day; renews at" in page
    assert 'value="0.5"' in page
    client.post(address, {"amount": ""})
    assert "a day; renews at" not in client.get(address).content.decode()


@pytest.mark.parametrize("amount", ["-1", "much", "1e30", "NaN"])
def test_a_daily_limit_that_is_no_amount_is_refused(client: Client, alice: User, amount: str) -> None:
    client.force_login(alice)
    answer = client.post(reverse("keys_and_usage"), {"amount": amount})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.content.decode()
