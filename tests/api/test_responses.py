"""The official client gets responses as their dialect has them: objects, events in their order, tools,
reasoning, conversations of several responses; each billed once and exactly."""

import json
from typing import Any

import openai
import pytest

from inference.backends.scripted import Reply
from tests.api.test_chat_completions import price, record
from webapp.accounts import keys
from webapp.api.models import Response
from webapp.billing.models import UsageRecord

TOOL: Any = {
    "type": "function",
    "name": "calculate",
    "description": "Works it out.",
    "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}},
    "strict": False,
}
CALL = 'call: calculate {"expression": "2 + 2"}'
THINK: Any = {"effort": "high"}


@pytest.fixture
def respond(client: openai.OpenAI):
    """Ask the scripted model through the official client."""

    def respond(input: Any = "What is 2 + 2?", **options):
        options.setdefault("model", "scripted")
        return client.responses.create(input=input, **options)

    return respond


def kinds(events) -> list[str]:
    """The types of events, pieces of one text as one."""
    told: list[str] = []
    for event in events:
        kind = event.type.removeprefix("response.")
        if not (kind.endswith(".delta") and told and told[-1] == kind):
            told.append(kind)
    return told


def test_an_answer_is_an_object_with_reasoning_text_and_usage_and_is_recorded(
    respond, client, script, scripted_model
):
    price(scripted_model, input_per_million=1, cached_input_per_million="0.5", output_per_million=2)
    script("cached: 3", "think: two and two", "text: It is four.")
    response = respond(
        reasoning=THINK, instructions="Count.", metadata={"for": "test"}, temperature=0.5, user="someone"
    )
    reasoning, message = response.output
    assert (reasoning.type, reasoning.content[0].text, reasoning.summary) == ("reasoning", "two and two", [])
    assert (message.type, message.role, message.status) == ("message", "assistant", "completed")
    assert response.output_text == "It is four."
    assert (response.object, response.status, response.error) == ("response", "completed", None)
    assert (response.incomplete_details, response.model) == (None, "scripted")
    assert (response.metadata, response.temperature) == ({"for": "test"}, 0.5)
    assert response.instructions == "Count."
    usage = response.usage
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens) == (6, 3)
    assert (usage.output_tokens, usage.output_tokens_details.reasoning_tokens) == (6, 3)
    assert usage.total_tokens == 12
    row = record()
    assert (row.reference, row.finish_reason) == (response.id, "stop")
    assert row.cost_nano == 3 * 1_000 + 3 * 500 + 6 * 2_000
    assert client.responses.retrieve(response.id) == response


def test_a_stream_brings_the_events_in_the_tabled_order(respond, script):
    script("think: hm hm", "text: It is four.")
    events = list(respond(stream=True, reasoning=THINK))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    last = events[-1].response
    assert text == last.output_text == "It is four."
    assert events[0].response.status == events[1].response.status == "in_progress"
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == last.output
    assert [item.id[:3] for item in done] == ["rs_", "msg"]


def test_a_summary_that_is_asked_for_is_told_as_one(respond, script):
    script("think: hm hm", "text: Four.")
    events = list(respond(stream=True, reasoning=THINK | {"summary": "auto"}))
    assert kinds(events)[2:8] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert events[-1].response.output[0].summary[0].text == "hm hm"


def test_calls_of_tools_are_items_whose_outputs_are_answered(respond, script):
    script(
        Reply(step=1, lines=("think: hm", "text: Let me see.", CALL, "call: calculate {}")),
        Reply(step=2, lines=("text: It is four.",)),
    )
    events = list(respond(stream=True, tools=[TOOL], reasoning=THINK))
    assert kinds(events)[14:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    first = events[-1].response
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"expression": "2 + 2"}, {}]
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "4"} for call in calls]
    by_id = respond(outputs, tools=[TOOL], previous_response_id=first.id)
    assert by_id.output_text == "It is four."
    by_hand = respond(
        [{"role": "user", "content": "What is 2 + 2?"}, *first.to_dict()["output"], *outputs], tools=[TOOL]
    )
    assert by_hand.output_text == "It is four."
    assert by_id.usage.input_tokens == by_hand.usage.input_tokens


def test_a_response_goes_on_from_another_and_reads_as_one_conversation(respond, client, script):
    script(Reply(when="name", lines=("text: Ada.",)), Reply(lines=("text: Hello Ada.",)))
    first = respond("I am Ada.")
    second = respond("What is my name?", previous_response_id=first.id)
    assert (second.output_text, second.previous_response_id) == ("Ada.", first.id)
    assert second.usage.input_tokens > first.usage.input_tokens
    [asked] = client.responses.input_items.list(second.id).data
    assert asked.content[0].text == "What is my name?"
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError) as refusal:
        respond("Again?", previous_response_id=first.id)
    assert refusal.value.param == "previous_response_id"


def test_an_answer_that_is_cut_is_incomplete_and_says_why(respond, script):
    script("text: one two three", "finish: length")
    response = respond(max_output_tokens=16)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.output[0].status == "incomplete"
    *_, last = respond(stream=True, max_output_tokens=16)
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")


def test_a_stream_that_breaks_ends_with_the_fault_and_the_failed_response(respond, script):
    script("text: It is", "break:")
    events = list(respond(stream=True))
    ends = ["error", "output_text.done", "content_part.done", "output_item.done", "failed"]
    assert kinds(events)[-5:] == ends
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"
    fault = next(event for event in events if event.type == "error")
    assert fault.code == "stream_broken"
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


def test_a_fault_before_the_answer_is_a_plain_refusal(respond, script):
    script("error: overloaded@3 too many")
    with pytest.raises(openai.InternalServerError) as refusal:
        respond(stream=True)
    assert (refusal.value.status_code, refusal.value.code) == (503, "server_is_overloaded")
    assert not UsageRecord.objects.exists()


def test_what_is_not_to_be_kept_is_not(respond, client, script):
    script("text: Four.")
    response = respond(store=False)
    assert not Response.objects.exists()
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_the_form_that_is_asked_for_is_repeated_and_kept_to(respond, client, script):
    script('text: {"sum": 4}')
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    form: Any = {"format": {"type": "json_schema", "name": "sum", "schema": schema, "strict": True}}
    response = respond(text=form)
    assert json.loads(response.output_text) == {"sum": 4}
    assert response.text.format.name == "sum"


def test_another_persons_response_is_not_there(respond, client, script, server, bob):
    script("text: Four.")
    response = respond()
    secret = keys.create(bob, name="test")[1]
    with openai.OpenAI(base_url=f"{server}/v1", api_key=secret, max_retries=0) as other:
        for ask in (
            lambda: other.responses.retrieve(response.id),
            lambda: other.responses.delete(response.id),
            lambda: other.responses.input_items.list(response.id),
            lambda: other.responses.create(model="scripted", input="?", previous_response_id=response.id),
        ):
            with pytest.raises(openai.NotFoundError):
                ask()


def test_what_no_database_stores_costs_no_answer(respond, client, script):
    """PostgreSQL takes no NUL, neither of a client nor of a model."""
    script("text: a\0b")
    response = respond("Say \0, or \\u0000.", metadata={"a": "\0"})
    assert client.responses.retrieve(response.id).output_text == "a\N{REPLACEMENT CHARACTER}b"
    [asked] = client.responses.input_items.list(response.id).data
    assert asked.content[0].text == "Say \N{REPLACEMENT CHARACTER}, or \\u0000."
    assert record().reference == response.id
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_%00")
    with pytest.raises(openai.BadRequestError):
        client.responses.input_items.list(response.id, after="\0")
