"""Limits as programs are told of them: headers of what is left, refusals that name what refused."""

import socket

import openai
import pytest

from tests.api.conftest import REQUESTS_PER_MINUTE
from tests.api.test_refusals import GOOD, send
from webapp.api.dialects import go_duration
from webapp.billing.models import Account, Price


def test_what_is_left_is_told_with_every_answer(ask, script, client):
    script("text: 4")
    headers = client.chat.completions.with_raw_response.create(**GOOD).headers
    limit, left = (int(headers[f"x-ratelimit-{what}-requests"]) for what in ("limit", "remaining"))
    assert 0 <= left < limit
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert headers["x-trace-id"] == headers["x-request-id"].removeprefix("req_")
    assert int(headers["openai-processing-ms"]) >= 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.012, "12ms"), (0, "0ms"), (1.5, "1.5s"), (59, "59s"), (360, "6m0s"), (3_661.5, "1h1m1.5s")],
)
def test_a_duration_reads_as_go_writes_it(seconds, text):
    assert go_duration(seconds) == text


def test_a_refusal_for_a_rate_names_the_limit_and_when_it_ends(server, secret, client, script):
    script("text: 4")
    for _ in range(REQUESTS_PER_MINUTE):
        client.chat.completions.create(**GOOD)
    status, headers, error = send(server, GOOD, secret=secret)
    assert (status, error["code"], headers["x-should-retry"]) == (429, "rate_limit_exceeded", "true")
    details = error["details"]
    assert (details["scope"], details["limit_of"], details["limit"]) == (
        "user",
        "requests_per_minute",
        REQUESTS_PER_MINUTE,
    )
    assert details["used"] >= REQUESTS_PER_MINUTE - 2
    assert 0 < details["reset_s"] <= 2
    assert details["remedy"] == "wait"
    assert int(headers["retry-after-ms"]) <= 2_000


def test_a_refusal_for_money_names_what_is_missing(server, secret, scripted_model, alice):
    Price.objects.filter(model=scripted_model).update(output_per_million=1_000)
    Account.objects.filter(user=alice).update(balance_nano=5)
    status, headers, error = send(server, GOOD, secret=secret)
    assert (status, error["code"], headers["x-should-retry"]) == (429, "insufficient_quota", "false")
    details = error["details"]
    assert (details["scope"], details["available"], details["remedy"]) == ("account", "5E-9", "add_credit")
    assert float(details["needed"]) > 0


def test_a_wrong_key_is_refused_before_the_body_is_read(server, request):
    if request.node.callspec.params["server"] == "daphne":
        pytest.skip("Daphne takes a body, which it bounds, before it calls anybody")
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-wrong\r\n"
        connection.sendall(f"{head}content-length: 33000000\r\n\r\n".encode())
        answer = connection.recv(4_096)
    assert b" 401 " in answer.split(b"\r\n")[0]


def test_a_flood_of_headers_is_refused(server, secret, scripted_model, client):
    with pytest.raises((openai.APIStatusError, openai.APIConnectionError)):
        client.chat.completions.create(**GOOD, extra_headers={f"x-{n}": "y" * 1_000 for n in range(70)})
