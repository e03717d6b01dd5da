"""Signing in again on the page where the session has ended."""

import pytest
from django.test import Client

from webapp.accounts.models import User

pytestmark = pytest.mark.django_db


def test_the_form_answers_with_the_person_and_a_token_that_works(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    form = client.get("/sign-in/here/")
    assert 'data-user=""' in form.content.decode()
    token = client.cookies["csrftoken"].value
    wrong = {"username": "alice", "password": "wrong", "csrfmiddlewaretoken": token}
    refused = client.post("/sign-in/here/", wrong)
    assert "No account has this name" in refused.content.decode()
    answer = client.post("/sign-in/here/", wrong | {"password": "alice-password-1"}).content.decode()
    assert f'data-user="{alice.pk}"' in answer
    new = answer.partition('data-token="')[2].partition('"')[0]
    kept = client.post(
        "/drafts/", '{"text": "a", "base": 0}', content_type="application/json", headers={"X-CSRFToken": new}
    )
    assert kept.status_code == 200
