"""Bodies of the Responses dialect as agents send them, and refusals that name what is wrong."""

import json
import urllib.request
from typing import Any
from urllib.error import HTTPError

import msgspec
import pytest

from inference.backends.scripted import Reply
from inference.schema import NamedTool
from tests.services import wait_until
from webapp.api.responses import tools
from webapp.billing.models import Hold, UsageRecord

GOOD: dict[str, Any] = {"model": "scripted", "input": "Hello"}
IMAGE = {"type": "input_image", "image_url": "x"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}

# As Codex sends them with wire_api = "responses".
CODEX: dict[str, Any] = {
    "model": "scripted",
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox on."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List the files."}]},
    ],
    "tools": [
        {
            "type": "function",
            "name": "shell",
            "description": "Runs a command.",
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {"command": {"type": "array", "items": {"type": "string"}}},
                "required": ["command"],
                "additionalProperties": False,
            },
        },
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits files.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        },
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199a",
    "text": {"verbosity": "medium"},
    "client_metadata": {"x": "y"},
}


def post(server, body, *, secret):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    request = urllib.request.Request(f"{server}/v1/responses", data=content, headers=headers)
    return urllib.request.urlopen(request, timeout=20)


def events_of(answer) -> list[dict[str, Any]]:
    """Each under the name of its type."""
    told = []
    for block in answer.read().decode().strip().split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        told.append(event)
    return told


def refused(server, body, *, secret) -> dict[str, Any]:
    with pytest.raises(HTTPError) as refusal:
        post(server, body, secret=secret)
    told = json.loads(refusal.value.read())["error"]
    assert set(told) >= {"message", "type", "param", "code"}
    return {**told, "status": refusal.value.status}


def test_an_agents_loop_runs_with_what_it_carries(server, secret, scripted_model, script):
    script(
        Reply(step=1, lines=("think: look", 'call: shell {"command": ["ls"]}')),
        Reply(step=2, lines=("think: now", 'call: apply_patch {"input": "*** Begin"}')),
        Reply(step=3, lines=("text: Done.",)),
    )
    said = list(CODEX["input"])
    outputs = ["a.py", "Done!"]
    kinds = []
    for turn in range(3):
        with post(server, CODEX | {"input": said}, secret=secret) as answer:
            events = events_of(answer)
        whole = events[-1]["response"]
        assert events[-1]["type"] == "response.completed"
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert done == whole["output"]
        kinds.append([item["type"] for item in done])
        said += done
        if turn < 2:
            call = done[-1]
            kind = "function_call_output" if call["type"] == "function_call" else "custom_tool_call_output"
            said.append({"type": kind, "call_id": call["call_id"], "output": outputs[turn]})
    assert kinds == [["reasoning", "function_call"], ["reasoning", "custom_tool_call"], ["message"]]
    assert said[-3]["input"] == "*** Begin"
    sealed = next(item for item in said if item["type"] == "reasoning")
    assert sealed["encrypted_content"]
    assert [tool["type"] for tool in whole["tools"]] == ["function", "custom"]
    wait_until(lambda: UsageRecord.objects.count() == 3, within_s=30, what="the last settlement")


def test_a_tool_of_a_namespace_is_called_by_both_its_names(server, secret, scripted_model, script):
    script(
        Reply(step=1, lines=('call: crm__find {"name": "Ada"}',)),
        Reply(step=2, lines=('call: crm__note {"input": "Found."}',)),
        Reply(step=3, lines=("text: Done.",)),
    )
    held = [{"type": "function", "name": "find"}, {"type": "custom", "name": "note"}]
    body = {
        "model": "scripted",
        "tools": [{"type": "namespace", "name": "crm", "description": "People.", "tools": held}],
    }
    said: list[dict[str, Any]] = [{"role": "user", "content": "Who is Ada?"}]
    for kind in ("function_call", "custom_tool_call"):
        with post(server, body | {"input": said}, secret=secret) as answer:
            whole = json.load(answer)
        call = whole["output"][-1]
        assert (call["type"], call["namespace"]) == (kind, "crm")
        said += [call, {"type": f"{kind}_output", "call_id": call["call_id"], "output": "Yes."}]
    assert [call["name"] for call in said[1::2]] == ["find", "note"]
    assert [tool["name"] for tool in whole["tools"][0]["tools"]] == ["find", "note"]
    with post(server, body | {"input": said}, secret=secret) as answer:
        assert json.load(answer)["output"][-1]["content"][0]["text"] == "Done."
    wait_until(lambda: UsageRecord.objects.count() == 3, within_s=30, what="the last settlement")


def test_a_tool_of_a_namespace_is_chosen_by_both_its_names():
    sent = [{"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "find"}]}]
    taken = tools.read([*sent, {"type": "function", "name": "find"}])
    in_crm = {"type": "function", "name": "find", "namespace": "crm"}
    chosen, _specs = tools.read_choice(msgspec.convert(in_crm, tools.Choice), taken)
    assert chosen == NamedTool("crm__find")
    allowed = msgspec.convert({"type": "allowed_tools", "tools": [in_crm]}, tools.Choice)
    assert [spec.name for spec in tools.read_choice(allowed, taken)[1]] == ["crm__find"]


def _in_crm(name: str) -> dict[str, Any]:
    return {"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": name}]}


BAD: list[tuple[dict[str, Any], str | None]] = [
    ({"model": 1}, "model"),
    ({"tools": [{"type": "function", "name": "crm__a"}, _in_crm("a")]}, "tools[1].tools[0].name"),
    ({"tools": [_in_crm("a"), {"type": "custom", "name": "crm__a"}]}, "tools[1].name"),
    (
        {"tools": [_in_crm("a")], "tool_choice": {"type": "function", "name": "a", "namespace": "erp"}},
        "tool_choice",
    ),
    ({"input": 1}, "input"),
    ({"input": []}, "input"),
    ({"input": [1]}, "input[0]"),
    ({"input": [{"type": "telepathy"}]}, "input[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0]"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
        "input[0].content",
    ),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": "4"}]}, "input"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
    ({"tools": [{"type": "function"}]}, "tools[0]"),
    ({"tools": [{"type": "file_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x.y"}]}, "tools[0].server_label"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
    ({"previous_response_id": "resp_none"}, "previous_response_id"),
    ({"conversation": "conv_none"}, "conversation"),
    ({"conversation": "conv_x", "previous_response_id": "resp_x"}, "conversation"),
    ({"background": True, "store": False}, "store"),
    ({"temperature": 3}, "temperature"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"reasoning": {"effort": "much"}}, "reasoning.effort"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"model": "nobody"}, "model"),
]


def test_what_is_wrong_is_named_and_costs_nothing(server, secret, scripted_model, script):
    script("text: Hello.")
    for change, param in BAD:
        told = refused(server, GOOD | change, secret=secret)
        assert told["status"] in (400, 404), change
        assert (told["param"] or "").startswith(param or ""), (change, told)
    for content in (b"", b"{", b"[]", b"\xff", b'{"model": "scripted", "input": ' + b"[" * 5_000):
        assert refused(server, content, secret=secret)["status"] == 400
    assert refused(server, GOOD, secret="sk-wrong")["status"] == 401
    assert not Hold.objects.exists()
