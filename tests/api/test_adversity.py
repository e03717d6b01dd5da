"""Long silences, clients that leave and a Redis that is away: the application itself, without a server."""

import asyncio
import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from tests.backends.upstream import Provider, serve
from webapp.accounts import keys
from webapp.api import admission, call, database, exchange
from webapp.api.chat_reply import Writer
from webapp.api.plane import DataPlane
from webapp.billing import estimates, holds, limits
from webapp.billing.models import Hold, UsageRecord
from webapp.catalog.models import ServedModel

QUESTION = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "2 + 2?"}]}


async def fallback(scope, receive, send):
    raise AssertionError("the API is not Django's")


async def post(body, *, secret, capacity=0, path="/v1/chat/completions", leaves_after=None):
    """The raw pieces of the answer, from the application itself, without a server; its client takes no more
    than `capacity` pieces, if that is given.
    """
    sent: asyncio.Queue[Any] = asyncio.Queue(capacity)
    requests: asyncio.Queue[Any] = asyncio.Queue()
    requests.put_nowait({"type": "http.request", "body": json.dumps(body).encode()})
    headers = [(b"authorization", f"Bearer {secret}".encode())]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}

    async def send(event):
        await sent.put(event)
        if sent.qsize() - 1 == leaves_after:
            requests.put_nowait({"type": "http.disconnect"})

    await DataPlane(fallback=fallback)(scope, requests.get, send)
    events = [sent.get_nowait() for _ in range(sent.qsize())]
    return events[0], [event["body"] for event in events[1:]]


@pytest.fixture
def _own_threads(monkeypatch):
    """Threads that end with the test, and their connections with them."""
    with ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(database, "_threads", threads)
        yield


pytestmark = [pytest.mark.usefixtures("_own_threads"), pytest.mark.django_db(transaction=True)]


def test_a_silent_stream_is_kept_open_and_its_hold_alive(alice, scripted_model, script, monkeypatch):
    monkeypatch.setattr(call, "PING_AFTER_S", 0.5)
    monkeypatch.setattr(call, "RENEW_EVERY_S", 0.5)
    monkeypatch.setattr(admission, "LIVES_FOR", timedelta(seconds=300))
    script("wait: 1.5", "text: 4")
    _, secret = keys.create(alice, name="test")
    start, pieces = asyncio.run(post(QUESTION, secret=secret))
    assert start["status"] == 200
    assert pieces[0] == b": ping\n\n"
    assert pieces[-1].endswith(b"data: [DONE]\n\n")
    assert all(piece.startswith((b"data: ", b": ping")) for piece in pieces)
    assert UsageRecord.objects.get().output_tokens == 1
    hold = Hold.objects.get()
    assert hold.expires_at - hold.created_at > timedelta(seconds=300.4)


def test_without_redis_requests_are_answered_and_billed(alice, scripted_model, script, settings):
    script("text: 4")
    _, secret = keys.create(alice, name="test")
    settings.REDIS_URL = "unix:///nowhere/redis.sock?db=0"
    start, pieces = asyncio.run(post(QUESTION, secret=secret))
    assert start["status"] == 200
    assert pieces[-1].endswith(b"data: [DONE]\n\n")
    assert UsageRecord.objects.get().finish_reason == "stop"


def test_an_unforeseen_fault_is_answered_with_an_id_and_leaves_no_hold(
    alice, scripted_model, script, monkeypatch
):
    script("text: 4")
    _, secret = keys.create(alice, name="test")
    monkeypatch.setattr(Writer, "piece", lambda *_: 1 / 0)
    start, pieces = asyncio.run(post(QUESTION, secret=secret))
    error = json.loads(b"".join(pieces))["error"]
    assert (start["status"], error["code"]) == (500, "internal_error")
    assert "req_" in error["message"]
    assert Hold.objects.get().status == Hold.Status.RELEASED


def test_a_fault_in_the_middle_of_a_stream_ends_it_with_an_id_and_is_billed(
    alice, scripted_model, script, monkeypatch
):
    script("text: a b c")
    _, secret = keys.create(alice, name="test")
    write = Writer.piece
    monkeypatch.setattr(
        Writer, "piece", lambda self, index, delta: write(self, index, delta) if delta.text == "a" else 1 / 0
    )
    start, pieces = asyncio.run(post(QUESTION, secret=secret))
    assert start["status"] == 200
    assert b'"internal_error"' in pieces[-1]
    assert UsageRecord.objects.get().finish_reason == "error"


def test_a_client_that_stops_reading_lets_the_model_go(alice, scripted_model, script, monkeypatch):
    monkeypatch.setattr(exchange, "TAKEN_WITHIN_S", 0.2)
    script("text: " + " ".join(f"word{number:04}" for number in range(200)), "stall:")
    _, secret = keys.create(alice, name="test")
    _, pieces = asyncio.run(asyncio.wait_for(post(QUESTION, secret=secret, capacity=3), 60))
    record = UsageRecord.objects.get()
    assert record.finish_reason == "cancelled"
    _, text = said_in(pieces)  # what waited for it to read on is not billed
    assert record.output_tokens == estimates.estimated_tokens(text) > 0


def test_a_request_that_fails_at_the_door_takes_no_place(alice, scripted_model, monkeypatch, settings):
    settings.CONCURRENT_REQUESTS = 1
    _, secret = keys.create(alice, name="test")
    monkeypatch.setattr(holds, "place", lambda *_, **__: 1 / 0)
    start, _pieces = asyncio.run(post(QUESTION, secret=secret))
    assert start["status"] == 500
    assert limits.enter("request", user_id=alice.id, lease_id="next", ttl_s=1)


def test_a_provider_that_counts_nothing_is_billed_by_estimate(alice, scripted_model, script, settings):
    settings.OPENAI_API_KEY = "sk-right"
    _, secret = keys.create(alice, name="test")
    with serve(Provider()) as provider:
        provider.has_usage = False
        ServedModel.objects.update(
            backend="openai_compatible", base_url=provider.base_url, api_key_env="OPENAI_API_KEY"
        )
        _, pieces = asyncio.run(post(QUESTION, secret=secret))
    assert pieces[-1].endswith(b"data: [DONE]\n\n")
    record = UsageRecord.objects.get()
    assert (record.is_estimated, record.finish_reason) == (True, "stop")
    assert record.input_uncached_tokens > 0 < record.output_tokens


def said_in(pieces):
    """The thinking and the text that the pieces of either dialect brought."""
    events = [json.loads(line[6:]) for line in b"".join(pieces).split(b"\n") if line.startswith(b"data: {")]
    deltas = [event.get("delta") or event["choices"][0]["delta"] for event in events if is_said(event)]
    thinking = "".join(delta.get("thinking") or delta.get("reasoning_content") or "" for delta in deltas)
    return thinking, "".join(delta.get("text") or delta.get("content") or "" for delta in deltas)


def is_said(event):
    return event.get("type") == "content_block_delta" or "choices" in event


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("num_pieces", random.Random(7).sample(range(1, 21), 6))
def test_a_client_cut_at_a_random_piece_pays_for_what_was_delivered(
    alice, scripted_model, script, path, num_pieces
):
    script("pace: 500", "think: a b c d e f g h i j", "text: k l m n o p q r s t", "stall:")
    _, secret = keys.create(alice, name="test")
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    asked = QUESTION | {"max_tokens": 2_048, "thinking": thinking}
    _, pieces = asyncio.run(post(asked, secret=secret, path=path, leaves_after=num_pieces))
    thought, text = said_in(pieces)
    assert thought
    record = UsageRecord.objects.get()
    reasoning_tokens = estimates.estimated_tokens(thought)
    assert (record.finish_reason, record.is_estimated) == ("cancelled", True)
    assert record.reasoning_tokens == reasoning_tokens
    assert record.output_tokens == reasoning_tokens + estimates.estimated_tokens(text)
    assert Hold.objects.get().status == Hold.Status.SETTLED


def test_a_silent_message_begins_before_its_first_ping(alice, scripted_model, script, monkeypatch):
    monkeypatch.setattr(call, "PING_AFTER_S", 0.5)
    script("wait: 1.5", "text: 4")
    _, secret = keys.create(alice, name="test")
    asked = QUESTION | {"max_tokens": 64}
    _, pieces = asyncio.run(post(asked, secret=secret, path="/v1/messages"))
    events = [line[7:] for line in b"".join(pieces).split(b"\n") if line.startswith(b"event: ")]
    assert events[:2] == [b"message_start", b"ping"]
    assert (events.count(b"message_start"), events[-1]) == (1, b"message_stop")
