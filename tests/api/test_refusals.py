"""Every refusal is clear, in OpenAI's shape, says whether a retry makes sense, and leaves nothing behind."""

import json
import time
import urllib.request
from urllib.error import HTTPError

import openai
import pytest

from tests.api.conftest import REQUESTS_PER_MINUTE
from tests.services import wait_until
from webapp.accounts import keys
from webapp.accounts.models import ApiKey
from webapp.billing.models import Account, Hold, Price, UsageRecord

ARGUMENTS, ANSWER = "tools[0].function.parameters", "response_format.json_schema.schema"
GOOD = {"model": "scripted", "messages": [{"role": "user", "content": "Hello"}]}


def send(server, body, *, secret="", path="/v1/chat/completions", method="POST"):
    """The status, the headers and the error of a raw request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    request = urllib.request.Request(f"{server}{path}", data=content, headers=headers, method=method)
    with pytest.raises(HTTPError) as refusal, urllib.request.urlopen(request, timeout=20):
        pass
    error = json.loads(refusal.value.read())["error"]
    assert set(error) - {"details"} == {"message", "type", "param", "code"}
    assert refusal.value.headers["x-request-id"].startswith("req_")
    return refusal.value.status, refusal.value.headers, error


def tool(**parameters):
    return {"type": "function", "function": {"name": "f", "parameters": {"type": "object", **parameters}}}


def nested(depth):
    inner: dict[str, object] = {}
    for _ in range(depth - 1):
        inner = {"items": inner}
    return inner


def choice(name):
    return {"type": "function", "function": {"name": name}}


def schema(**named):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}, **named}}


@pytest.mark.parametrize("secret", ["", "sk-wrong", "sk-ключ".encode().decode("latin-1")])
def test_a_missing_or_wrong_key_is_refused(server, transactional_db, secret):
    status, headers, error = send(server, GOOD, secret=secret)
    assert (status, error["code"], headers["x-should-retry"]) == (401, "invalid_api_key", "false")
    assert "Bearer" in error["message"]


def test_a_revoked_key_opens_nothing_a_second_later(ask, client, script):
    script("text: 4")
    ask()
    keys.revoke(ApiKey.objects.get())
    time.sleep(1)  # the promise: the server has seen the key good just now, and may believe so for a second
    with pytest.raises(openai.AuthenticationError, match="revoked"):
        ask()
    with pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_the_key_of_someone_switched_off_opens_nothing(ask, alice):
    alice.is_active = False
    alice.save()
    with pytest.raises(openai.AuthenticationError):
        ask()


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"messages": []}, "messages", "length >= 1"),
        ({"messages": "hello"}, "messages", "Expected `array`"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "king"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "no content"),
        ({"messages": [{"role": "tool", "content": "4"}]}, "messages[0].tool_call_id", "tool_call_id"),
        ({"temperature": 3}, "temperature", "<= 2"),
        ({"max_tokens": "many"}, "max_tokens", "Expected `int"),
        ({"stream": "yes"}, "stream", "Expected `bool"),
        ({"n": 0}, "n", ">= 1"),
        ({"n": 9}, "n", "<= 8"),
        ({"top_logprobs": 2}, "top_logprobs", "logprobs: true"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "<= 20"),
        ({"logit_bias": {"hello": 1}}, "logit_bias", "Expected `int`"),
        ({"logit_bias": {"-1": 1}}, "logit_bias", ">= 0"),
        ({"logit_bias": {"5": 101}}, "logit_bias", "<= 100"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "xml"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
        ({"response_format": schema(name="a b")}, "response_format.json_schema.name", "regex"),
        ({"response_format": schema(schema=None)}, "response_format.json_schema.schema", "object"),
        ({"response_format": schema(schema={"maximum": 10**30})}, ANSWER, "64 bits"),
        ({"response_format": schema(schema=nested(101))}, ANSWER, "100 deep"),
        ({"tools": [tool(maximum=10**30)]}, ARGUMENTS, "64 bits"),
        ({"tools": [tool(properties=nested(100))]}, ARGUMENTS, "100 deep"),
        ({"tools": [tool(properties={"a": {"type": "text"}})]}, f"{ARGUMENTS}.properties.a.type", "string"),
        ({"tools": [tool(type="array")]}, f"{ARGUMENTS}.type", "one object"),
        ({"response_format": schema(schema={"$ref": "#/$defs/a"})}, f"{ANSWER}.$ref", "not there"),
        ({"tool_choice": "maybe"}, "tool_choice", "maybe"),
        ({"tool_choice": "required"}, "tool_choice", "send the `tools`"),
        ({"tool_choice": choice("f")}, "tool_choice", "send the `tools`"),
        ({"tools": [tool()], "tool_choice": choice("g")}, "tool_choice", "'g'"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "huge"),
    ],
)
def test_a_bad_field_is_named(server, secret, scripted_model, change, param, message):
    status, headers, error = send(server, GOOD | change, secret=secret)
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert message in error["message"]
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "scripted", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
        b'{"model": "scripted", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "model": "scripted", "messages": []}',
    ],
    ids=["empty", "cut", "bad UTF-8", "half a character", "deep", "deep in an unknown field"],
)
def test_a_broken_body_is_refused(server, secret, scripted_model, body):
    status, _, error = send(server, body, secret=secret)
    assert (status, error["type"]) == (400, "invalid_request_error")


def test_a_body_past_the_limit_is_refused(server, secret):
    status, _, error = send(server, b" " * (32 * 1024 * 1024 + 1), secret=secret)
    assert (status, error["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("model", ["gpt-9", "", "a\u0000b", "x" * 10_000])
def test_an_unknown_model_is_not_found(server, secret, scripted_model, model):
    status, _, error = send(server, GOOD | {"model": model}, secret=secret)
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")


def test_a_model_that_is_not_offered_is_not_found(ask, scripted_model):
    scripted_model.is_active = False
    scripted_model.save()
    with pytest.raises(openai.NotFoundError, match="lists those on offer"):
        ask()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
    ],
)
def test_other_paths_and_methods_are_refused_in_the_same_shape(server, secret, method, path, status):
    assert send(server, b"", secret=secret, path=path, method=method)[0] == status


def test_an_account_that_cannot_pay_is_told_the_numbers_and_not_to_retry(ask, script, alice, scripted_model):
    script("text: 4")
    Price.objects.filter(model=scripted_model).update(output_per_million=1_000)
    Account.objects.filter(user=alice).update(balance_nano=10**9)
    with pytest.raises(openai.RateLimitError, match=r"up to 8\.1920 USD.*1\.0000 USD free") as refusal:
        ask()
    assert refusal.value.code == "insufficient_quota"
    assert refusal.value.response.headers["x-should-retry"] == "false"
    assert Hold.objects.count() == 0
    assert ask(max_tokens=900).choices[0].message.content == "4"


def test_too_many_requests_a_minute_are_told_when_to_come_back(ask, script):
    script("text: 4")
    refused = None
    for _ in range(3 * REQUESTS_PER_MINUTE):
        try:
            ask()
        except openai.RateLimitError as error:
            if f"{REQUESTS_PER_MINUTE} requests a minute" in str(error):
                refused = error
                break
    assert refused is not None
    headers = refused.response.headers
    assert refused.code == "rate_limit_exceeded"
    assert headers["x-should-retry"] == "true"
    assert 0 < int(headers["retry-after-ms"]) <= 1_500  # 40 a minute: one every 1.5 s
    assert headers["retry-after"] in ("1", "2")


def test_too_many_requests_at_once_are_refused_until_one_ends(ask, script):
    script("text: 4", "stall:")
    streams = [ask(stream=True) for _ in range(3)]
    with pytest.raises(openai.RateLimitError, match="3 of your requests are under way"):
        ask()
    for stream in streams:
        stream.close()
    wait_until(lambda: UsageRecord.objects.count() == 3, within_s=30, what="the end of the streams")
    script("text: 4")
    ask()


@pytest.mark.parametrize(
    ("fault", "status", "code", "retry_after"),
    [
        ("error: rejected Too long.", 400, None, None),
        ("error: overloaded Busy.", 503, "server_is_overloaded", "1"),
        ("error: unavailable Nobody is there.", 503, "backend_unavailable", "2"),
        ("break: Gone.", 503, "stream_broken", "2"),
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
def test_a_fault_before_the_first_token_is_a_plain_error_and_costs_nothing(
    ask, script, fault, status, code, retry_after, is_stream
):
    script(fault)
    with pytest.raises(openai.APIStatusError) as refusal:
        ask(stream=is_stream)
    assert (refusal.value.status_code, refusal.value.code) == (status, code)
    assert refusal.value.response.headers.get("retry-after") == retry_after
    wait_until(lambda: Hold.objects.get().status == "released", within_s=30, what="the release")
    assert UsageRecord.objects.count() == 0


def test_without_a_backend_the_answer_says_so(ask):
    with pytest.raises(openai.InternalServerError, match="script") as refusal:
        ask()
    assert refusal.value.status_code == 503


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/anthropic", "/anthropic/v1", "/anthropic/elsewhere"])
def test_what_is_beside_every_address_is_told_so_as_json(server, client, path):
    with pytest.raises(HTTPError) as refusal:
        urllib.request.urlopen(f"{server}{path}", timeout=30)
    assert refusal.value.code == 404
    assert json.loads(refusal.value.read())["error"]["message"].startswith("There is no GET ")


@pytest.mark.parametrize("kind", [[], {}, 1, ["message"]])
def test_an_item_whose_type_is_no_word_is_refused(client, kind):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.create(model="scripted", input=[{"type": kind}] if kind else [{"type": [kind]}])
    assert refusal.value.param == "input[0].type"
