"""A call under an Idempotency-Key is made and billed once, however often it is asked for."""

import http.client
import json
import threading
from datetime import timedelta

import openai
import pytest
from django.db import IntegrityError
from django.db.models import QuerySet
from django.utils import timezone

from inference.backends.scripted import Reply
from tests.services import wait_until
from webapp.accounts import keys
from webapp.accounts.models import ApiKey
from webapp.api import idempotency
from webapp.api.models import Batch, KeyedCall, Response
from webapp.billing.models import UsageRecord

GOOD = {"model": "scripted", "messages": [{"role": "user", "content": "Hello"}]}
KEYED = {"Idempotency-Key": "order-7"}


def post(server, secret, body=GOOD, *, headers=KEYED, path="/v1/chat/completions", leaves_after=0):
    """The status, the headers and the bytes of the answer; a client that leaves takes so many of them."""
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=20)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json", **headers}
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    content = response.read(leaves_after) if leaves_after else response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, content


def num_bills():
    return UsageRecord.objects.count()


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_same_bytes_come_again_and_one_bill(server, secret, client, script, is_stream):
    script("text: one two three")
    body = GOOD | {"stream": is_stream}
    first = post(server, secret, body)
    script("text: another")
    again = post(server, secret, body)
    assert (first[0], again[0]) == (200, 200)
    assert again[2] == first[2]
    assert again[1]["content-type"] == first[1]["content-type"]
    assert again[1]["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first[1]
    assert b"one" in first[2]
    wait_until(lambda: num_bills() == 1, within_s=30, what="the bill")
    assert b"another" in post(server, secret, body, headers={"Idempotency-Key": "order-8"})[2]
    KeyedCall.objects.update(created_at=timezone.now() - timedelta(hours=25), lease_until=timezone.now())
    assert b"another" in post(server, secret, body)[2], "a day later it is a new one"


def test_another_body_under_the_same_key_is_refused(client, script):
    script("text: 4")
    client.chat.completions.create(**GOOD, extra_headers=KEYED)
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.chat.completions.create(**GOOD, seed=7, extra_headers=KEYED)
    assert refused.value.code == "idempotency_key_reused"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**GOOD, extra_headers={"Idempotency-Key": "x" * 256})


def test_while_the_first_is_answered_the_second_is_told_to_wait(server, secret, client, script):
    script("wait: 2", "text: 4")
    answers = []
    first = threading.Thread(target=lambda: answers.append(post(server, secret)))
    first.start()
    wait_until(KeyedCall.objects.exists, within_s=30, what="the first call")
    status, headers, content = post(server, secret)
    assert (status, headers["retry-after"], headers["x-should-retry"]) == (409, "1", "true")
    assert json.loads(content)["error"]["code"] == "idempotency_key_in_use"
    first.join(20)
    assert answers[0][0] == 200
    assert post(server, secret)[2] == answers[0][2]


def test_who_was_cut_off_gets_the_whole_answer_of_the_first_call(server, secret, client, script):
    script("pace: 20", "text: one two three four five six seven eight nine ten")
    body = GOOD | {"stream": True}
    _, _, begun = post(server, secret, body, leaves_after=300)
    wait_until(lambda: KeyedCall.objects.get().answer is not None, within_s=30, what="the whole answer")
    whole = post(server, secret, body)[2]
    assert whole.startswith(begun)
    assert whole.endswith(b"data: [DONE]\n\n")
    wait_until(lambda: num_bills() == 1, within_s=30, what="the bill")
    assert UsageRecord.objects.get().output_tokens == 10


def test_a_call_that_failed_may_be_made_again(server, secret, client, script):
    script(Reply(lines=("error: unavailable Nobody.",)))
    assert post(server, secret)[0] == 503
    wait_until(lambda: not KeyedCall.objects.exists(), within_s=30, what="the key's release")
    script("text: 4")
    assert post(server, secret)[0] == 200


def test_the_call_of_a_dead_process_is_made_again(server, secret, client, script):
    key = ApiKey.objects.get(prefix=secret[: keys.PREFIX_CHARS])
    idempotency.begin(key, route="/v1/chat/completions", name="order-7", body=json.dumps(GOOD).encode())
    script("text: 4")
    assert post(server, secret)[0] == 409
    KeyedCall.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert post(server, secret)[0] == 200
    wait_until(lambda: num_bills() == 1, within_s=30, what="the bill")


def test_a_key_let_go_of_while_it_is_asked_for_is_free(server, secret, client, monkeypatch):
    key = ApiKey.objects.get(prefix=secret[: keys.PREFIX_CHARS])

    def begin() -> idempotency.Claim:
        claim = idempotency.begin(key, route="/v1/chat/completions", name="order-7", body=b"{}")
        assert isinstance(claim, idempotency.Claim)
        return claim

    first, look = begin(), QuerySet.first

    def look_too_late(rows):
        monkeypatch.setattr(QuerySet, "first", look)
        idempotency.forget(first)
        return look(rows)

    monkeypatch.setattr(QuerySet, "first", look_too_late)
    assert begin().id != first.id


def test_what_is_answered_later_is_begun_once(server, secret, client, script):
    body = {"model": "scripted", "input": "Hello", "background": True}
    answers = [post(server, secret, body, path="/v1/responses") for _ in range(2)]
    ids = {json.loads(content)["id"] for _status, _headers, content in answers}
    assert [status for status, _headers, _content in answers] == [200, 200]
    assert ids == {Response.objects.get().id}
    assert answers[1][1]["idempotent-replayed"] == "true"
    client.responses.cancel(*ids)
    file = client.files.create(file=("lines.jsonl", b"{}"), purpose="batch")
    asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    for _ in range(2):
        client.batches.create(**asked, extra_headers=KEYED)
    assert Batch.objects.count() == 1
    with pytest.raises(openai.UnprocessableEntityError):
        client.batches.create(**asked | {"completion_window": "48h"}, extra_headers=KEYED)
    for _ in range(2):
        with pytest.raises(openai.NotFoundError):
            client.batches.create(**asked | {"input_file_id": "none"}, extra_headers={"Idempotency-Key": "b"})
    assert not KeyedCall.objects.filter(name="b").exists(), "what was refused may be asked again"


def test_a_key_of_an_api_key_that_is_gone_is_refused_at_once(server, secret, client):
    gone = ApiKey.objects.get(prefix=secret[: keys.PREFIX_CHARS])
    ApiKey.objects.filter(pk=gone.pk).delete()
    with pytest.raises(IntegrityError):
        idempotency.begin(gone, route="/v1/runs", name="order-7", body=b"{}")
