"""The bytes of Anthropic's dialect: events, headers, and refusals that say what is wrong, leaving nothing."""

import json
import urllib.request
from http.client import HTTPResponse
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.api.conftest import REQUESTS_PER_MINUTE
from tests.services import wait_until
from webapp.api import tool_use_id
from webapp.billing.models import Account, Hold, Price, UsageRecord

GOOD: dict[str, Any] = {
    "model": "scripted",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello"}],
}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "4"}


def post(server, body, *, secret, path="/v1/messages", method="POST", **headers) -> HTTPResponse:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"x-api-key": secret, "anthropic-version": "2023-06-01"} | headers
    request = urllib.request.Request(f"{server}{path}", data=content, headers=headers, method=method)
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=20)
    return answer


def refused(server, body, *, secret, **options):
    """The status, the headers and the error of a refused request."""
    with pytest.raises(HTTPError) as refusal:
        post(server, body, secret=secret, **options)
    told = json.loads(refusal.value.read())
    assert set(told) == {"type", "error", "request_id"}
    assert (told["type"], set(told["error"])) == ("error", {"type", "message"})
    assert refusal.value.headers["request-id"] == told["request_id"]
    return refusal.value.status, refusal.value.headers, told["error"]


def is_settled():
    return not Hold.objects.filter(status=Hold.Status.OPEN).exists() and UsageRecord.objects.exists()


def test_every_event_bears_its_name_and_nothing_follows_the_last(server, secret, scripted_model, script):
    script("think: hm", "text: It is four.")
    with post(server, GOOD | {"stream": True}, secret=secret) as answer:
        content = answer.read().decode()
        headers = answer.headers
    wait_until(is_settled, within_s=30, what="the settlement")
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["request-id"].startswith("req_")
    limit = int(headers["anthropic-ratelimit-requests-limit"])
    assert 0 <= int(headers["anthropic-ratelimit-requests-remaining"]) < limit == REQUESTS_PER_MINUTE
    assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    *events, end = content.split("\n\n")
    assert end == ""
    kinds = []
    for event in events:
        name, data = event.split("\n")
        kinds.append(name.removeprefix("event: "))
        assert json.loads(data.removeprefix("data: "))["type"] == kinds[-1]
    said = ["content_block_delta"] * 3
    block = ["content_block_start", *said, "content_block_stop"]
    assert kinds == ["message_start", *block, "message_delta", "message_stop"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, ">= 1"),
        ({"messages": []}, "length >= 1"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": ""}]}, "no content"),
        ({"messages": [{"role": "user", "content": []}]}, "no content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "cannot see images"),
        ({"messages": [*GOOD["messages"], {"role": "assistant", "content": "It "}]}, "cannot end in space"),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "answers no tool_use"),
        ({"messages": [{"role": "user", "content": [USE]}]}, "tool_use block has no place"),
        ({"temperature": 1.5}, "<= 1"),
        ({"top_k": -1}, ">= 0"),
        ({"stop_sequences": [" "]}, "stop_sequences"),
        ({"stream": "yes"}, "Expected `bool"),
        ({"system": {"text": "x"}}, "system"),
        ({"metadata": {"user_id": 7}}, "metadata.user_id"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, ">= 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "huge"}}, "huge"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
        ({"tools": [{"name": "f"}]}, "input_schema"),
        ({"tools": [TOOL | {"name": "a b"}]}, "tools[0].name"),
        ({"tools": [TOOL | {"input_schema": {"required": "a"}}]}, "tools[0].input_schema.required"),
        ({"tool_choice": {"type": "any"}}, "send the `tools`"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "'g'"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"maximum": 10**30}}}}, "64 bits"),
    ],
)
def test_a_bad_field_is_named(server, secret, scripted_model, change, message):
    status, headers, error = refused(server, GOOD | change, secret=secret)
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert message in error["message"]
    assert headers["x-should-retry"] == "false"


def history(*contents):
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (("Go.", [USE], "And?"), "has no tool_result right after it"),
        (("Go.", [USE], [RESULT, RESULT]), "answers no tool_use"),
        (("Go.", [USE, USE], [RESULT]), "Two tool_use blocks"),
        (("Go.", [USE], [RESULT | {"tool_use_id": "toolu_2"}]), "'toolu_2'"),
        (("Go.", [USE], [RESULT | {"content": [{"type": "image"}]}]), "cannot see images"),
        (("Go.", [USE], [RESULT | {"content": [{"type": "video"}]}]), "video"),
        (([{"type": "document", "source": {"type": "url", "url": "http://x"}}],), "as text only"),
    ],
)
def test_a_history_that_no_model_could_follow_is_refused(server, secret, scripted_model, contents, message):
    status, _, error = refused(server, GOOD | history(*contents), secret=secret)
    assert status == 400
    assert message in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "scripted", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
        b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["empty", "cut", "bad UTF-8", "deep"],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/anthropic/v1/messages/count_tokens"])
def test_a_broken_body_is_refused(server, secret, scripted_model, body, path):
    status, _, error = refused(server, body, secret=secret, path=path)
    assert (status, error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("options", "status", "kind"),
    [
        ({"secret": "sk-wrong"}, 401, "authentication_error"),
        ({"secret": ""}, 401, "authentication_error"),
        ({"body": GOOD | {"model": "claude-9"}}, 404, "not_found_error"),
        ({"body": b" " * (32 * 1024 * 1024 + 1)}, 413, "request_too_large"),
        ({"path": "/anthropic/v1/nothing"}, 404, "not_found_error"),
        ({"path": "/anthropic/v1/chat/completions"}, 404, "not_found_error"),
        ({"method": "PUT"}, 405, "invalid_request_error"),
    ],
    ids=["wrong key", "no key", "unknown model", "too large", "unknown path", "not their path", "method"],
)
def test_refusals_at_the_door_have_their_kind(server, secret, scripted_model, options, status, kind):
    told, _, error = refused(server, **{"body": GOOD, "secret": secret} | options)
    assert (told, error["type"]) == (status, kind)


@pytest.mark.parametrize(
    ("fault", "status", "kind", "retry_after"),
    [
        ("error: rejected Too long.", 400, "invalid_request_error", None),
        ("error: overloaded Busy.", 529, "overloaded_error", "1"),
        ("error: unavailable Nobody is there.", 500, "api_error", "2"),
        ("break: Gone.", 500, "api_error", "2"),
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
def test_a_fault_before_the_first_token_is_a_plain_error_and_costs_nothing(
    server, secret, scripted_model, script, fault, status, kind, retry_after, is_stream
):
    script(fault)
    told, headers, error = refused(server, GOOD | {"stream": is_stream}, secret=secret)
    assert (told, error["type"], headers["retry-after"]) == (status, kind, retry_after)
    assert headers["x-should-retry"] == ("true" if retry_after else "false")
    wait_until(lambda: Hold.objects.get().status == "released", within_s=30, what="the release")
    assert not UsageRecord.objects.exists()


def test_an_account_that_cannot_pay_is_told_the_numbers(server, secret, alice, scripted_model):
    Price.objects.filter(model=scripted_model).update(output_per_million=1_000)
    Account.objects.filter(user=alice).update(balance_nano=10**9)
    status, headers, error = refused(server, GOOD | {"max_tokens": 8_192}, secret=secret)
    assert (status, error["type"], headers["x-should-retry"]) == (402, "billing_error", "false")
    assert "1.0000 USD free" in error["message"]
    assert not Hold.objects.exists()


def test_too_many_requests_a_minute_are_told_when_to_come_back(server, secret, scripted_model, script):
    script("text: 4")
    path = "/v1/messages/count_tokens"
    for _ in range(3 * REQUESTS_PER_MINUTE):
        try:
            post(server, GOOD, secret=secret, path=path).close()
        except HTTPError as refusal:
            if refusal.status == 429:
                break
    status, headers, error = refused(server, GOOD, secret=secret, path=path)
    assert (status, error["type"]) == (429, "rate_limit_error")
    assert (headers["retry-after"], headers["x-should-retry"]) in (("1", "true"), ("2", "true"))


@pytest.mark.parametrize("call_id", ["functions.search_web:0", "call_9", "функция:1", "a" * 300])
def test_a_calls_id_is_written_for_the_client_and_read_back(call_id):
    written = tool_use_id.written(call_id, request_id="msg_" + "0123456789abcdef" * 2)
    assert set(written) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert tool_use_id.read(written) == call_id


@pytest.mark.parametrize("foreign", ["toolu_01A09q90qw90lq917835lq9", "call_1", "", "toolu_0123456789ab_gA"])
def test_an_id_from_elsewhere_stays_as_it_is(foreign):
    assert tool_use_id.read(foreign) == foreign
