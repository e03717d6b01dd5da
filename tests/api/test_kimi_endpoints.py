"""What Kimi's platform has beside OpenAI's API: the length of a prompt, the balance, flags of models."""

import httpx
import pytest

from tests.services import wait_until
from webapp.accounts.models import ApiKey
from webapp.billing.models import Account, Hold

GOOD = {"model": "scripted", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


@pytest.fixture
def plain(server, secret, client):
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=server, headers=headers, timeout=20) as plain:
        yield plain


def test_a_prompt_is_counted_by_the_models_own_tokenizer_for_nothing(plain, script):
    script("text: 4")
    counted = plain.post("/v1/tokenizers/estimate-token-count", json=GOOD)
    assert counted.json() == {"data": {"total_tokens": 5}}
    answer = plain.post("/v1/chat/completions", json=GOOD).json()
    assert answer["usage"]["prompt_tokens"] == 5
    wait_until(lambda: Hold.objects.count() == 1, within_s=30, what="the one hold, the answer's")
    refused = plain.post("/v1/tokenizers/estimate-token-count", json={"model": "scripted"})
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")


def test_an_estimate_says_that_it_is_one(plain, upstream):
    counted = plain.post("/v1/tokenizers/estimate-token-count", json=GOOD).json()["data"]
    assert counted["estimated"] is True
    assert counted["total_tokens"] > 0
    assert upstream.bodies == [], "a provider would bill it"


def test_the_balance_is_what_is_free(plain, alice):
    Account.objects.filter(user=alice).update(balance_nano=5_250_000_001, held_nano=250_000_000)
    told = plain.get("/v1/users/me/balance").json()
    assert (told["code"], told["scode"], told["status"]) == (0, "0x0", True)
    data = told["data"]
    assert data["available_balance"] == data["cash_balance"] + data["voucher_balance"]
    assert data["available_balance"] == pytest.approx(5.0)
    assert data["available_exact"] == "5.000000001"
    assert plain.get("/v1/users/me/balance", headers={"Authorization": "Bearer sk-x"}).status_code == 401


def test_models_say_how_long_and_whether_they_reason(plain):
    (model,) = plain.get("/v1/models").json()["data"]
    assert model["context_length"] > 0
    assert {model[flag] for flag in ("supports_image_in", "supports_video_in")} == {False}
    assert model["supports_reasoning"] is True


def test_a_key_opens_only_what_it_is_for(plain, secret, script):
    script("text: 4")
    ApiKey.objects.update(scopes=["usage"])
    assert plain.get("/v1/users/me/balance").status_code == 200
    refused = plain.post("/v1/chat/completions", json=GOOD)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "scope_missing")
    assert refused.headers["x-should-retry"] == "false"


def test_a_key_is_good_for_its_models_and_networks_alone(plain, secret, script):
    script("text: 4")
    ApiKey.objects.update(model_names=["another"])
    assert plain.post("/v1/chat/completions", json=GOOD).json()["error"]["code"] == "model_not_allowed"


def test_a_key_is_good_from_its_networks_alone(plain, secret, script):
    script("text: 4")
    ApiKey.objects.update(networks=["10.0.0.0/8"])
    assert plain.post("/v1/chat/completions", json=GOOD).json()["error"]["code"] == "address_not_allowed"


def test_every_answer_has_a_receipt_that_anybody_can_check(plain, script):
    from webapp.billing import receipts

    script("text: It is four.")
    answer = plain.post("/v1/chat/completions", json=GOOD)
    by_header = f"/v1/receipts/{answer.headers['x-kimi-receipt']}"
    wait_until(lambda: plain.get(by_header).status_code == 200, within_s=30, what="the receipt")
    receipt = plain.get(by_header).json()
    assert receipt["request_id"] == answer.json()["id"]
    assert receipt["usage"]["output_tokens"] == 3
    assert receipts.is_genuine(receipt)
    assert not receipts.is_genuine(receipt | {"model": "another"})
    assert plain.get(f"/v1/receipts/{answer.json()['id']}").json()["id"] == receipt["id"]
    assert plain.get("/v1/receipts/none").json()["error"]["code"] == "receipt_not_found"


def test_usage_is_told_by_day_and_model(plain, script):
    script("text: It is four.")
    plain.post("/v1/chat/completions", json=GOOD)
    wait_until(lambda: plain.get("/v1/usage").json()["data"], within_s=30, what="the bill")
    (line,) = plain.get("/v1/usage").json()["data"]
    assert (line["model"], line["output_tokens"], line["num_records"]) == ("scripted", 3, 1)
    assert plain.get("/v1/usage?start=2020-01-01&end=2020-01-31").json()["data"] == []
    assert plain.get("/v1/usage?start=yesterday").status_code == 400
