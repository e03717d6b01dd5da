"""What cannot be answered is refused in clear words, on the page and in the API; the text stays."""

import httpx
import pytest

from tests.faults.conftest import Witness
from tests.stack import Stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

NO_MONEY = """
from webapp.billing.models import Account
Account.objects.filter(user__username="{name}").update(balance_nano=1)
"""
REVOKE = """
from webapp.accounts import keys
from webapp.accounts.models import ApiKey
keys.revoke(ApiKey.objects.get(user__username="{name}"))
"""
# A local model that is offered though no inference worker serves it.
OFFER_LOCAL = """
from webapp.catalog.models import ServedModel
ServedModel.objects.filter(upstream_name="smollm2").update(is_configured=True)
"""


def error_of(answer: httpx.Response) -> dict[str, str]:
    body = answer.json()["error"]
    assert body["message"]
    assert isinstance(body, dict)
    return body


def test_an_empty_account_is_told_so_with_figures(stack: Stack, witness: Witness) -> None:
    stack.python(NO_MONEY.format(name=witness.name))
    witness.send("Is there any money left?")
    witness.page.wait_for_selector("#note:not(:empty)")
    assert any(digit in witness.page.inner_text("#note") for digit in "0123456789")
    assert witness.page.input_value("#message") == "Is there any money left?"
    refused = witness.call_api("scripted")
    assert refused.status_code == 429
    assert error_of(refused)["code"] == "insufficient_quota"


def test_a_revoked_key_opens_nothing(stack: Stack, witness: Witness) -> None:
    stack.script("text: Hello.")
    assert witness.call_api("scripted").status_code == 200
    stack.python(REVOKE.format(name=witness.name))
    refused = witness.call_api("scripted")
    assert refused.status_code == 401
    assert error_of(refused)["code"] == "invalid_api_key"


def test_a_model_that_nobody_serves_is_said_to_be_away(stack: Stack, witness: Witness) -> None:
    stack.python(OFFER_LOCAL)
    witness.choose_model("smollm2")
    witness.send("Is anybody there?")
    witness.page.wait_for_selector("#note:not(:empty)")
    assert "SmolLM2 135M is not running" in witness.page.inner_text("#note")
    assert witness.page.input_value("#message") == "Is anybody there?"
    refused = witness.call_api("smollm2-135m")
    assert refused.status_code == 503
    assert "smollm2" in error_of(refused)["message"].lower()
