"""The official client gets answers, streams, reasoning and tool calls, and each is billed once."""

import openai
import pytest

from inference.backends.scripted import Script
from tests.services import wait_until
from webapp.billing.models import Account, Hold, LedgerEntry, Price, UsageRecord

TOOLS = [
    {
        "type": "function",
        "function": {"name": "calculate", "parameters": {"type": "object", "properties": {}}},
    }
]
THINK = {"thinking": {"type": "enabled"}}


def record():
    """The one usage record, which is written after the answer's last byte."""
    wait_until(lambda: UsageRecord.objects.exists(), within_s=30, what="the usage record")
    return UsageRecord.objects.get()


def price(model, **rates):
    columns = {"input_per_million": 0, "cached_input_per_million": 0, "output_per_million": 0} | rates
    Price.objects.filter(model=model).update(**columns)


def test_an_answer_arrives_with_reasoning_and_usage_and_is_recorded(ask, script, alice, scripted_model):
    price(scripted_model, input_per_million=1, cached_input_per_million="0.5", output_per_million=2)
    script("cached: 3", "think: two and two", "text: It is four.")
    completion = ask(extra_body=THINK)
    message = completion.choices[0].message
    assert (message.content, message.reasoning_content) == ("It is four.", "two and two")
    assert completion.choices[0].finish_reason == "stop"
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 6, 11)
    assert usage.prompt_tokens_details.cached_tokens == usage.cached_tokens == 3
    assert usage.completion_tokens_details.reasoning_tokens == 3

    row = record()
    assert (row.reference, row.source, row.finish_reason) == (completion.id, "api", "stop")
    assert (row.input_uncached_tokens, row.input_cached_tokens, row.output_tokens) == (2, 3, 6)
    assert row.cost_nano == 2 * 1_000 + 3 * 500 + 6 * 2_000
    assert (row.user, row.api_key.user, row.is_estimated) == (alice, alice, False)
    assert Hold.objects.get().status == Hold.Status.SETTLED
    assert LedgerEntry.objects.get(kind="usage").amount_nano == -row.cost_nano


def test_a_stream_brings_reasoning_then_content_and_its_usage_last(ask, script):
    script("think: two and two", "text: It is four.")
    chunks = list(ask(stream=True, stream_options={"include_usage": True}, extra_body=THINK))
    deltas = [chunk.choices[0].delta for chunk in chunks[:-1]]
    assert (deltas[0].role, deltas[0].content) == ("assistant", "")
    said = [(getattr(delta, "reasoning_content", None), delta.content) for delta in deltas[1:-1]]
    assert said == [("two", None), (" and", None), (" two", None)] + [
        (None, piece) for piece in ("It", " is", " four.")
    ]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == chunks[-2].choices[0].usage["completion_tokens"] == 6
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert record().output_tokens == 6


def test_a_tool_call_arrives_whole_and_in_pieces(ask, script):
    script("text: Let me see.", 'call: calculate {"expression": "2 + 2"}')
    whole = ask(tools=TOOLS).choices[0]
    assert whole.finish_reason == "tool_calls"
    call = whole.message.tool_calls[0]
    assert (call.id, call.function.name) == ("functions.calculate:0", "calculate")
    assert call.function.arguments == '{"expression": "2 + 2"}'

    pieces = [
        chunk.choices[0].delta.tool_calls[0]
        for chunk in ask(tools=TOOLS, stream=True)
        if chunk.choices[0].delta.tool_calls
    ]
    assert [piece.id for piece in pieces] == [call.id] + [None] * (len(pieces) - 1)
    assert "".join(piece.function.arguments for piece in pieces) == call.function.arguments


def test_a_tool_loop_goes_on_with_its_reasoning(client, script):
    from inference.backends.scripted import Reply

    script(Reply(step=2, lines=("text: It is 4.",)), Reply(lines=("call: calculate {}",)))
    history = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "2 + 2?"},
    ]
    first = client.chat.completions.create(model="scripted", messages=history, tools=TOOLS)
    history.append({**first.choices[0].message.model_dump(exclude_none=True), "reasoning_content": "hm"})
    history.append({"role": "tool", "tool_call_id": "functions.calculate:0", "content": "4"})
    second = client.chat.completions.create(model="scripted", messages=history, tools=TOOLS)
    assert second.choices[0].message.content == "It is 4."


@pytest.mark.parametrize(
    ("switch", "thinks"),
    [
        ({}, False),
        ({"thinking": {"type": "enabled"}}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"reasoning_effort": "high"}, True),
        ({"reasoning_effort": "none"}, False),
        ({"chat_template_kwargs": {"thinking": True}}, True),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, False),
    ],
)
def test_long_thinking_is_switched_in_any_spelling(ask, script, switch, thinks):
    script("think: hm", "text: 4")
    message = ask(extra_body=switch).choices[0].message
    assert (getattr(message, "reasoning_content", None) == "hm") is thinks


def test_a_model_that_always_thinks_thinks_unasked_and_says_no_to_off(ask, script, scripted_model):
    scripted_model.thinking_dialect = "always"
    scripted_model.save()
    script("think: hm", "text: 4")
    assert ask().choices[0].message.reasoning_content == "hm"
    with pytest.raises(openai.BadRequestError, match="always thinks") as refusal:
        ask(extra_body={"thinking": {"type": "disabled"}})
    assert refusal.value.param == "thinking"


def test_the_longest_answer_is_kept_to(ask, script):
    script("text: one two three four five")
    short = ask(max_tokens=2)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("one two", "length")
    assert ask(max_completion_tokens=3).usage.completion_tokens == 3


def test_models_are_listed_under_their_own_names(client):
    (model,) = client.models.list().data
    assert (model.id, model.context_length) == ("scripted", 32_768)
    assert client.models.retrieve("scripted").id == "scripted"


def test_a_stream_that_breaks_tells_so_and_is_billed_for_what_came(ask, script, alice):
    script("text: one two three", "break: The worker is gone.")
    said: list[str | None] = []
    with pytest.raises(openai.APIError, match="The worker is gone"):
        said.extend(chunk.choices[0].delta.content for chunk in ask(stream=True))
    row = record()
    assert (row.finish_reason, row.is_estimated) == ("error", True)
    assert row.output_tokens == 4  # 13 characters
    assert Account.objects.get(user=alice).held_nano == 0


def test_an_answer_that_breaks_before_any_of_it_was_sent_costs_nothing(ask, script):
    script("text: one two three", "break: The worker is gone.")
    with pytest.raises(openai.InternalServerError, match="The worker is gone"):
        ask()
    wait_until(lambda: Hold.objects.get().status == "released", within_s=30, what="the release")
    assert not UsageRecord.objects.exists()


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_hangs_up_stops_the_model_and_pays_what_it_got(
    ask, client, script, alice, scripted_model, is_stream
):
    price(scripted_model, output_per_million=2)
    script("text: one two three", "stall:")
    if is_stream:
        stream = ask(stream=True)
        for _ in zip(range(4), stream, strict=False):
            pass
        stream.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            ask(timeout=3)
    row = record()
    assert (row.finish_reason, row.is_estimated) == ("cancelled", True)
    assert row.cost_nano == 4 * 2_000
    account = Account.objects.get(user=alice)
    assert account.held_nano == 0
    assert account.balance_nano == 5 * 10**9 - row.cost_nano


def test_who_parses_the_text_is_changed_with_the_next_request(ask, upstream, scripted_model):
    call = "<|tool_call_begin|>functions.calculate:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
    marked = f"<|tool_calls_section_begin|>{call}<|tool_calls_section_end|>"
    upstream.script = Script.of(f"text: {marked}")
    assert ask(tools=TOOLS).choices[0].message.content == marked
    scripted_model.output_parser = scripted_model.OutputParser.OURS
    scripted_model.save()
    message = ask(tools=TOOLS).choices[0].message
    assert (message.content, message.tool_calls[0].function.name) == (None, "calculate")
