"""Answers that use the platform's own tools: turns of the chat, told as responses that can be read again, go
on, be cancelled and survive their worker."""

from typing import Any

import pytest

from chat import tasks
from chat import turns as chat_turns
from chat.models import Turn
from inference.backends.scripted import Reply
from tests.api.test_background import begin, ended, worker  # noqa: F401
from tests.services import wait_until
from tests.turn.worker import WorkerProcess
from webapp.api.models import Response
from webapp.api.responses import turns
from webapp.billing.models import UsageRecord

PLATFORM: Any = [{"type": "mcp", "server_label": "platform"}]
SCRIPT = (
    Reply(step=1, lines=("think: look", 'call: calculate {"expression": "2 + 2"}')),
    Reply(step=2, lines=("think: ready", "text: It is four.")),
)


@pytest.fixture(autouse=True)
def thinking(scripted_model):
    scripted_model.thinking_dialect = scripted_model.ThinkingDialect.THINKING_TYPE
    scripted_model.save()


def test_a_stream_shows_calls_and_results_and_can_be_read_again(begin, worker, client, script):  # noqa: F811
    script(*SCRIPT)
    events = list(begin(tools=PLATFORM, stream=True))
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    response = events[-1].response
    assert (response.status, response.output_text) == ("completed", "It is four.")
    assert [item.type for item in response.output] == ["reasoning", "mcp_call", "reasoning", "message"]
    call = response.output[1]
    assert (call.name, call.server_label, call.status) == ("calculate", "platform", "completed")
    assert "4" in call.output
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == response.output
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert "response.mcp_call.completed" in kinds
    middle = len(events) // 2
    again = client.responses.retrieve(response.id, stream=True, starting_after=numbers[middle])
    assert list(again) == events[middle + 1 :]
    assert client.responses.retrieve(response.id) == response
    record = UsageRecord.objects.get()
    assert response.usage.output_tokens == record.output_tokens > 0
    assert record.api_key is not None


def test_one_in_the_foreground_waits_and_another_goes_on_from_it(worker, client, script):  # noqa: F811
    script(*SCRIPT)
    first = client.responses.create(model="scripted", input="What is 2 + 2?", tools=PLATFORM)
    assert (first.status, first.background, first.output_text) == ("completed", False, "It is four.")
    second = client.responses.create(
        model="scripted", input="Again?", tools=PLATFORM, previous_response_id=first.id
    )
    assert second.output_text == "It is four."
    before, after = Turn.objects.order_by("created_at")
    assert after.parent == before
    plain = client.responses.create(model="scripted", input="And now?", previous_response_id=second.id)
    assert plain.status == "completed"


def test_cancelling_stops_the_turn_and_again_is_harmless(begin, worker, client, script):  # noqa: F811
    script("text: one two three", "wait: 60")
    response = begin(tools=PLATFORM)
    for event in client.responses.retrieve(response.id, stream=True):
        if event.type == "response.output_text.delta":
            break
    for _ in range(2):
        assert client.responses.cancel(response.id).status == "cancelled"
    assert Turn.objects.get().finish_reason == "cancelled"


def test_it_goes_on_when_its_worker_dies(begin, worker, client, script):  # noqa: F811
    script(SCRIPT[0], Reply(step=2, lines=("text: one two", "wait: 60")))
    stream = begin(tools=PLATFORM, stream=True)
    events = []
    for event in stream:
        events.append(event)
        if event.type == "response.output_text.delta":
            break
    worker.kill()
    script(*SCRIPT)
    other = WorkerProcess()
    try:
        response = ended(client, ring(events[0].response))
        events += list(stream)
    finally:
        other.stop()
    assert (response.status, response.output_text) == ("completed", "It is four.")
    assert [item.type for item in response.output] == ["reasoning", "mcp_call", "reasoning", "message"]
    assert events[-1].response.output == response.output
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    assert UsageRecord.objects.count() == 1


def ring(response):
    """What the sweep does, once the dead worker's lease is over."""

    def is_rung() -> bool:
        due = chat_turns.take_due()
        for turn_id in due:
            tasks.ring(turn_id)
        return bool(due)

    wait_until(is_rung, within_s=30, what="the lease's end")
    return response


def test_only_the_tools_that_were_asked_for_may_be_called(begin, worker, client, script):  # noqa: F811
    script(
        Reply(step=1, lines=('call: ask_user {"question": "Why?"}',)),
        Reply(step=2, lines=("text: Then not.",)),
    )
    response = ended(client, begin(tools=[{"type": "web_search"}]))
    [call, message] = response.output
    assert (call.status, message.content[0].text) == ("failed", "Then not.")


def test_a_response_whose_chat_was_deleted_says_so(begin, client, script):  # noqa: F811
    response = begin(tools=PLATFORM)
    chat_turns.abandon(Turn.objects.get())
    Turn.objects.all().delete()
    turns.conclude_due()
    response = client.responses.retrieve(response.id)
    assert (response.status, Response.objects.get().turn) == ("failed", None)
    assert "deleted" in response.error.message
