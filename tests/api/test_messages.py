"""Anthropic's official client gets answers, streams, thinking and tool use, each billed once and exactly."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from inference.backends.scripted import Script
from tests.api.test_chat_completions import price, record
from tests.services import wait_until
from webapp.accounts import keys
from webapp.billing.models import Account, Hold, UsageRecord

TOOLS: Any = [
    {
        "name": "calculate",
        "description": "Works it out.",
        "input_schema": {"type": "object", "properties": {"expression": {"type": "string"}}},
        "cache_control": {"type": "ephemeral"},
    }
]
THINK: Any = {"type": "enabled", "budget_tokens": 1_024}
QUESTION: Any = [{"role": "user", "content": "What is 2 + 2?"}]


@pytest.fixture(params=["", "/anthropic"], ids=["at the root", "below /anthropic"])
def claude(request, server: str, secret: str, scripted_model) -> Iterator[anthropic.Anthropic]:
    """Every reply is checked against the types of the client."""
    options: dict[str, Any] = {"max_retries": 0, "timeout": 30, "_strict_response_validation": True}
    with anthropic.Anthropic(base_url=f"{server}{request.param}", api_key=secret, **options) as client:
        yield client
    is_open = Hold.objects.filter(status=Hold.Status.OPEN)
    wait_until(lambda: not is_open.exists(), within_s=30, what="the last settlement")


@pytest.fixture
def tell(claude):
    """Ask the scripted model."""

    def tell(messages=QUESTION, **options):
        options = {"model": "scripted", "max_tokens": 2_048} | options
        return claude.messages.create(messages=messages, **options)

    return tell


def test_an_answer_arrives_with_thinking_and_usage_and_is_recorded(tell, script, scripted_model):
    price(scripted_model, input_per_million=1, cached_input_per_million="0.5", output_per_million=2)
    script("cached: 3", "think: two and two", "text: It is four.")
    message = tell(thinking=THINK, system="Count.", metadata={"user_id": "someone"})
    thinking, text = message.content
    assert (thinking.thinking, text.text) == ("two and two", "It is four.")
    assert thinking.signature
    assert (message.role, message.model) == ("assistant", "scripted")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (3, 3, 6)
    assert usage.output_tokens_details.thinking_tokens == 3
    row = record()
    assert (row.reference, row.finish_reason, row.is_estimated) == (message.id, "stop", False)
    assert (row.input_uncached_tokens, row.input_cached_tokens, row.output_tokens) == (3, 3, 6)
    assert row.cost_nano == 3 * 1_000 + 3 * 500 + 6 * 2_000


def test_a_stream_brings_block_after_block_as_tabled(tell, script):
    script(
        "think: hm hm", "text: Let me see.", 'call: calculate {"expression": "2 + 2"}', "call: calculate {}"
    )
    events = list(tell(stream=True, thinking=THINK, tools=TOOLS))
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    starts = [event for event in events if event.type == "content_block_start"]
    stops = [event.index for event in events if event.type == "content_block_stop"]
    assert [start.content_block.type for start in starts] == ["thinking", "text", "tool_use", "tool_use"]
    assert [start.index for start in starts] == stops == [0, 1, 2, 3]
    assert (starts[0].content_block.thinking, starts[0].content_block.signature) == ("", "")
    assert starts[2].content_block.input == {}
    of_thinking = [
        event.delta.type for event in events if event.type == "content_block_delta" and not event.index
    ]
    assert of_thinking == ["thinking_delta"] * 2 + ["signature_delta"]
    called = [
        event.delta.partial_json
        for event in events
        if event.type == "content_block_delta" and event.index == 2
    ]
    assert json.loads("".join(called)) == {"expression": "2 + 2"}
    assert events[-2].delta.stop_reason == "tool_use"
    assert events[-2].usage.output_tokens == record().output_tokens


def test_the_stream_adds_up_to_the_answer(claude, tell, script):
    script("cached: 2", "think: hm hm", "text: Let me see.", 'call: calculate {"expression": "2"}')
    whole = tell(thinking=THINK, tools=TOOLS)
    asked = {"model": "scripted", "max_tokens": 2_048, "thinking": THINK, "tools": TOOLS}
    with claude.messages.stream(messages=QUESTION, **asked) as stream:
        streamed = stream.get_final_message()

    def shown(message):
        blocks = [block.model_dump(exclude={"id", "parsed_output"}) for block in message.content]
        usage = message.usage
        counts = (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens)
        return blocks, counts, message.stop_reason

    assert shown(streamed) == shown(whole)
    assert whole.content[-1].id != streamed.content[-1].id  # no id is used twice


def test_both_dialects_count_and_bill_the_same_to_the_token(claude, client, tell, script, scripted_model):
    price(scripted_model, input_per_million="0.6", cached_input_per_million="0.15", output_per_million="2.5")
    script("cached: 3", "think: two and two", "text: It is four.", 'call: calculate {"expression": "2"}')
    ours = tell(thinking=THINK, tools=TOOLS, system="Count.").usage
    messages = [{"role": "system", "content": "Count."}, *QUESTION]
    function = {"name": "calculate", "parameters": TOOLS[0]["input_schema"]}
    theirs = client.chat.completions.create(
        model="scripted",
        messages=messages,
        tools=[{"type": "function", "function": function}],
        extra_body={"thinking": {"type": "enabled", "budget_tokens": 1_024}},
    ).usage
    assert ours.input_tokens + ours.cache_read_input_tokens == theirs.prompt_tokens
    assert ours.cache_read_input_tokens == theirs.prompt_tokens_details.cached_tokens
    assert ours.output_tokens == theirs.completion_tokens
    assert ours.output_tokens_details.thinking_tokens == theirs.completion_tokens_details.reasoning_tokens
    wait_until(lambda: UsageRecord.objects.count() == 2, within_s=30, what="both records")
    columns = (
        "input_uncached_tokens",
        "input_cached_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cost_nano",
    )
    assert len(set(UsageRecord.objects.values_list(*columns))) == 1


def loop(first, *results):
    """The conversation after an answer that called tools."""
    return [
        *QUESTION,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": list(results)},
    ]


def result(call, content="4", **options):
    return {"type": "tool_result", "tool_use_id": call.id, "content": content, **options}


def test_a_tool_loop_goes_on_with_the_thinking_it_had(tell, script, upstream):

    upstream.script = Script.of("think: two and two", 'call: calculate {"expression": "2 + 2"}')
    first = tell(thinking=THINK, tools=TOOLS)
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert call.input == {"expression": "2 + 2"}
    assert call.id.startswith("toolu_")
    blocks = [{"type": "text", "text": "four"}, {"type": "text", "text": "or so"}]
    tell(loop(first, result(call, blocks, is_error=True), {"type": "text", "text": "Go on."}), tools=TOOLS)
    _, assistant, tool, user = upstream.bodies[-1]["messages"]
    assert assistant["reasoning_content"] == "two and two"
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == "functions.calculate:0"
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"expression": "2 + 2"}
    assert (tool["content"], user["content"]) == ("Error: four\nor so", "Go on.")


def changed(block, **fields):
    return {**block.model_dump(), **fields}


@pytest.fixture
def sent_back(tell, upstream, scripted_model):
    """What the model is shown of a thinking block that comes back, once `change` was made to it."""

    upstream.script = Script.of("think: two and two", "call: calculate {}")

    def sent_back(change, before=lambda: None):
        first = tell(thinking=THINK, tools=TOOLS)
        before()
        thinking, call = first.content
        blocks = [change(thinking), call.model_dump(exclude={"caller", "toolset_name"})]
        asked = [*QUESTION, {"role": "assistant", "content": blocks}]
        tell([*asked, {"role": "user", "content": [result(call)]}], tools=TOOLS)
        return upstream.bodies[-1]["messages"][1].get("reasoning_content", "")

    return sent_back


def test_thinking_that_comes_back_changed_or_from_elsewhere_is_left_out(sent_back):
    assert sent_back(lambda block: block.model_dump()) == "two and two"
    assert sent_back(lambda block: changed(block, thinking="two and three")) == ""
    assert sent_back(lambda block: changed(block, signature="EqQBCkYIARgCKkDs")) == ""
    assert sent_back(lambda block: changed(block, signature="ключ")) == ""
    assert sent_back(lambda block: {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va"}) == ""


def test_another_models_thinking_is_not_this_ones(sent_back, scripted_model, claude, tell):
    def rename():
        scripted_model.name = "renamed"
        scripted_model.save()

    def change(block):
        return block.model_dump()

    assert sent_back(change) == "two and two"
    rename()
    assert "renamed" in {model.id for model in claude.models.list()}
    with pytest.raises(anthropic.NotFoundError):
        tell()


def test_the_choice_of_tools_reaches_the_model(tell, upstream):
    tell(tools=TOOLS, tool_choice={"type": "any"})
    tell(tools=TOOLS, tool_choice={"type": "tool", "name": "calculate"})
    tell(tools=TOOLS, tool_choice={"type": "none"})
    tell(tools=TOOLS, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    named = {"type": "function", "function": {"name": "calculate"}}
    assert [body["tool_choice"] for body in upstream.bodies] == ["required", named, "none", "auto"]


@pytest.mark.parametrize("is_stream", [True, False])
def test_no_second_call_is_made_where_one_is_the_most(tell, script, is_stream):
    script('call: calculate {"expression": "2"}', 'call: calculate {"expression": "3"}', "stall:")
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    answer = tell(tools=TOOLS, tool_choice=choice, stream=is_stream)
    if is_stream:
        events = list(answer)
        assert sum(event.type == "content_block_start" for event in events) == 1
        reason, told = events[-2].delta.stop_reason, events[-2].usage.output_tokens
    else:
        assert [block.input for block in answer.content] == [{"expression": "2"}]
        reason, told = answer.stop_reason, answer.usage.output_tokens
    row = record()
    assert (reason, row.finish_reason, row.is_estimated) == ("tool_use", "tool_calls", True)
    assert told == row.output_tokens > 0


def test_an_answer_ends_before_a_stop_sequence_and_names_it(tell, script):
    script("text: one two three END four")
    answer = tell(stop_sequences=["END", "four"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "END")
    assert answer.content[0].text.rstrip() == "one two three"
    *_, told, _ = tell(stop_sequences=["END"], stream=True)
    assert (told.delta.stop_reason, told.delta.stop_sequence) == ("stop_sequence", "END")


def test_the_longest_answer_is_kept_to(tell, script):
    script("text: one two three four five")
    answer = tell(max_tokens=2)
    assert (answer.content[0].text, answer.stop_reason, answer.usage.output_tokens) == (
        "one two",
        "max_tokens",
        2,
    )


def test_arguments_that_are_no_object_arrive_as_the_text_they_are(tell, script):
    script('call: calculate {"expression": ', "finish: length")
    answer = tell(tools=TOOLS)
    assert answer.content[0].input == {"INVALID_JSON": '{"expression": '}
    assert answer.stop_reason == "max_tokens"


@pytest.mark.parametrize(
    ("switch", "thinks"),
    [
        ({}, False),
        ({"thinking": THINK}, True),
        ({"thinking": {"type": "adaptive"}}, True),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"output_config": {"effort": "high"}}, False),
    ],
)
def test_long_thinking_is_switched(tell, script, switch, thinks):
    script("think: hm", "text: 4")
    assert (tell(**switch).content[0].type == "thinking") is thinks


def test_a_prompt_is_counted_as_it_will_be_billed(claude, tell, script):
    script("text: 4")
    asked = {"model": "scripted", "messages": QUESTION, "system": "Count to four."}
    counted = claude.messages.count_tokens(**asked)
    assert counted.input_tokens == tell(system="Count to four.").usage.input_tokens == 8
    assert not hasattr(counted, "estimated")
    assert UsageRecord.objects.count() <= 1  # the answer's, and none of the count


def test_a_count_that_no_tokenizer_made_says_that_it_is_estimated(claude, upstream):
    counted = claude.messages.count_tokens(model="scripted", messages=QUESTION)
    assert counted.estimated is True
    assert counted.input_tokens > 4
    assert upstream.bodies == []  # the provider was not asked


def test_models_are_listed_page_by_page(claude, scripted_model):
    names = ["scripted", "second", "third"]
    for place, name in enumerate(names):
        scripted_model.pk, scripted_model.name, scripted_model.position = place + 1_000, name, place + 200
        scripted_model.save() if place else None
    page = claude.models.list(limit=2)
    assert (len(page.data), page.has_more) == (2, True)
    assert (page.first_id, page.last_id) == (page.data[0].id, page.data[1].id)
    assert {model.id for model in claude.models.list(limit=2)} == set(names)
    assert claude.models.retrieve("second").max_input_tokens == 32_768
    with pytest.raises(anthropic.BadRequestError, match="no model here"):
        claude.models.list(after_id="nothing")
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("nothing")


def test_a_bearer_key_opens_the_door_too(server, secret, scripted_model, script):
    script("text: 4")
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    with anthropic.Anthropic(base_url=server, auth_token=secret, api_key=None, **options) as client:
        answer: Any = client.messages.create(model="scripted", max_tokens=64, messages=QUESTION)
    assert answer.content[0].text == "4"
    record()
    wait_until(lambda: not Hold.objects.filter(status="open").exists(), within_s=30, what="the settlement")


def test_a_stream_that_breaks_tells_so_and_is_billed_for_what_came(tell, script, alice):
    script("text: one two three", "break: The worker is gone.")
    with pytest.raises(anthropic.APIStatusError, match="The worker is gone") as fault:
        list(tell(stream=True))
    body: Any = fault.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "api_error")
    row = record()
    assert (row.finish_reason, row.is_estimated, row.output_tokens) == ("error", True, 4)
    assert Account.objects.get(user=alice).held_nano == 0


@pytest.mark.parametrize("num_events", [1, 2, 3, 5, 8])
def test_a_client_that_hangs_up_anywhere_pays_what_it_got(tell, script, alice, scripted_model, num_events):
    price(scripted_model, output_per_million=2)
    script("pace: 25", "think: a b c", "text: d e f", "stall:")
    stream = tell(stream=True, thinking=THINK)
    got = [event for _, event in zip(range(num_events), stream, strict=False)]
    stream.close()
    said = sum(event.type == "content_block_delta" for event in got)
    row = record()
    assert (row.finish_reason, row.is_estimated) == ("cancelled", True)
    assert row.reference.startswith("msg_")
    assert row.cost_nano == row.output_tokens * 2_000
    assert row.output_tokens >= (1 if said else 0)
    assert Account.objects.get(user=alice).balance_nano == 5 * 10**9 - row.cost_nano


def test_a_revoked_key_opens_nothing(claude, secret, alice):
    for key in alice.api_keys.all():
        keys.revoke(key)
    with pytest.raises(anthropic.AuthenticationError, match="revoked"):
        claude.models.list()


def test_openais_client_is_answered_in_its_own_shape_at_the_same_address(client: openai.OpenAI):
    assert client.models.list().data[0].object == "model"


def test_a_begun_answer_is_gone_on_with(tell, upstream, scripted_model):
    scripted_model.thinking_dialect = "thinking_type"
    scripted_model.save()
    tell([*QUESTION, {"role": "assistant", "content": "It is"}])
    assert upstream.bodies[-1]["messages"][-1] == {"role": "assistant", "content": "It is", "partial": True}
