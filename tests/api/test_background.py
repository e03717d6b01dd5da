"""An answer in the background: queued, polled, streamed again from any number, cancelled, made by whatever
Celery worker lives; told of by a signed webhook; billed once."""

import contextlib
from typing import Any

import openai
import psutil
import pytest
from django.conf import settings

from inference.backends.scripted import Reply
from tests.api.conftest import database_url, serving
from tests.api.test_chat_completions import price
from tests.services import flush, wait_until
from tests.turn.worker import WorkerProcess
from tests.webhooks.receiver import receiving
from webapp.api import stored_data
from webapp.api.models import Response
from webapp.api.responses import background
from webapp.billing.models import Account, Hold, UsageRecord
from webapp.database_clock import FromNow
from webapp.webhooks import endpoints

ENDED = ("completed", "failed", "incomplete", "cancelled")


@pytest.fixture
def worker(client):
    worker = WorkerProcess()
    yield worker
    worker.stop()


@pytest.fixture
def begin(client: openai.OpenAI):
    def begin(input: Any = "What is 2 + 2?", **options):
        return client.responses.create(input=input, model="scripted", background=True, **options)

    return begin


def ended(client, response, within_s=60):
    def is_ended():
        nonlocal response
        response = client.responses.retrieve(response.id)
        return response.status in ENDED

    wait_until(is_ended, within_s=within_s, what="the end", every_s=0.1)
    return response


def test_it_is_queued_then_answered_kept_billed_and_announced(
    begin, worker, client, script, scripted_model, alice, settings
):
    price(scripted_model, input_per_million=1, cached_input_per_million=1, output_per_million=2)
    script("think: hm", "text: It is four.")
    with receiving() as receiver:
        settings.WEBHOOK_PRIVATE_HOSTS = [receiver.host]
        endpoints.create(alice, url=receiver.url, event_types=["response.completed"], name="mine")
        response = begin(reasoning={"effort": "high"})
        assert (response.status, response.background, response.output) == ("queued", True, [])
        response = ended(client, response)
        assert (response.status, response.output_text) == ("completed", "It is four.")
        assert [item.type for item in response.output] == ["reasoning", "message"]
        assert response.usage.output_tokens == 4
    record = UsageRecord.objects.get()
    assert (record.reference, record.output_tokens) == (response.id, 4)
    assert Hold.objects.get().status == Hold.Status.SETTLED


def test_a_closed_account_holds_nothing_for_an_answer_that_nobody_will_read(begin, scripted_model, alice):
    price(scripted_model, input_per_million=1, cached_input_per_million=1, output_per_million=2)
    begin()
    assert Account.objects.get(user=alice).held_nano
    assert Hold.objects.get().status == Hold.Status.OPEN
    stored_data.clear(alice)
    assert Hold.objects.get().status == Hold.Status.RELEASED
    assert Account.objects.get(user=alice).held_nano == 0
    assert not Response.objects.exists()


def test_a_stream_can_be_read_again_after_any_number(begin, worker, client, script):
    script("think: hm hm", "text: one two three four")
    events = list(begin(stream=True, reasoning={"effort": "high"}))
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    id = events[0].response.id
    for after in (0, 1, 2, len(events) // 2, len(events) - 2):
        again = list(client.responses.retrieve(id, stream=True, starting_after=after))
        assert again == events[after + 1 :]
    assert list(client.responses.retrieve(id, stream=True)) == events


def test_what_the_log_has_lost_is_told_by_the_last_event(begin, worker, client, script, redis_url):
    script("text: It is four.")
    *_, last = begin(stream=True)
    flush(redis_url)
    *head, end = client.responses.retrieve(last.response.id, stream=True)
    assert [event.type for event in head] == ["response.created", "response.queued"]
    assert end == last


def test_it_survives_the_death_of_its_worker_and_is_billed_once(begin, worker, client, script):
    script("text: one two three", "wait: 60")
    response = begin()
    stream = client.responses.retrieve(response.id, stream=True)
    events = []
    for event in stream:
        events.append(event)
        if event.type == "response.output_text.delta":
            break
    worker.kill()
    script("text: It is four.")
    other = WorkerProcess()
    try:
        wait_until(_left, within_s=30, what="the lease's end")
        background.ring_due()
        events += list(stream)
        response = ended(client, response)
    finally:
        other.stop()
    assert (response.status, response.output_text) == ("completed", "It is four.")
    assert events[-1].response.output == response.output
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(events)))
    done = [event.item.status for event in events if event.type == "response.output_item.done"]
    assert done == ["incomplete", "completed"]
    assert UsageRecord.objects.count() == 1


def test_a_stream_goes_on_elsewhere_when_its_web_process_is_killed(begin, worker, client, secret, script):
    script("pace: 20", "text: " + " ".join(str(number) for number in range(60)))
    settings_of_it = {"DATABASE_URL": database_url(), "SCRIPT_FILE": settings.SCRIPT_FILE}
    with serving("uvicorn", **settings_of_it) as address:
        port = address.rpartition(":")[2]
        options: Any = {"max_retries": 0, "_strict_response_validation": True}
        with openai.OpenAI(base_url=f"{address}/v1", api_key=secret, **options) as doomed:
            ask: Any = {"model": "scripted", "input": "Count.", "background": True, "stream": True}
            events = until_killed(doomed.responses.create(**ask), port)
    last = events[-1].sequence_number
    events += client.responses.retrieve(events[0].response.id, stream=True, starting_after=last)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == " ".join(str(number) for number in range(60))
    assert UsageRecord.objects.count() == 1


def until_killed(stream: Any, port: str) -> list[Any]:
    """What came of the stream until the web process was killed, with the answer's first words."""
    events = []
    with contextlib.suppress(openai.APIConnectionError):
        for event in stream:
            events.append(event)
            if event.type == "response.output_text.delta":
                kill_web(port)
    assert events[-1].type != "response.completed"
    return events


def kill_web(port: str) -> None:
    """As the kernel would."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if port in child.cmdline():
                child.kill()


def _left() -> bool:
    return Response.objects.filter(lease_until__lte=FromNow()).exists()


def test_cancelling_ends_it_wherever_it_is_and_again_is_harmless(begin, client, script):
    script("text: one two three", "wait: 60")
    queued = begin()
    with pytest.raises(openai.ConflictError):
        client.responses.delete(queued.id)
    for _ in range(2):
        assert client.responses.cancel(queued.id).status == "cancelled"
    assert Hold.objects.get().status == Hold.Status.RELEASED
    *_, last = client.responses.retrieve(queued.id, stream=True)
    assert (last.type, last.response.status) == ("response.incomplete", "cancelled")


def test_cancelling_ends_one_under_way_with_what_it_said_billed(begin, worker, client, script):
    script("text: one two three", "wait: 60")
    response = begin()
    for event in client.responses.retrieve(response.id, stream=True):
        if event.type == "response.output_text.delta":
            break
    for _ in range(2):
        assert client.responses.cancel(response.id).status == "cancelled"
    response = client.responses.retrieve(response.id)
    assert response.output[0].status == "incomplete"
    record = UsageRecord.objects.get()
    assert (record.finish_reason, record.is_estimated) == ("cancelled", True)


def test_a_model_that_is_away_is_waited_for_and_one_that_refuses_fails(begin, worker, client, script):
    script("error: unavailable gone")
    response = begin()
    wait_until(lambda: Response.objects.get().num_lost > 0, within_s=30, what="a try")
    script("error: rejected too odd")
    Response.objects.update(wake_at=None)
    background.ring_due()
    response = ended(client, response)
    assert (response.status, response.error.code) == ("failed", "server_error")
    assert "odd" in response.error.message
    assert Hold.objects.get().status == Hold.Status.RELEASED


def test_calls_of_tools_wait_for_their_outputs(begin, worker, client, script):
    script(
        Reply(step=1, lines=('call: calculate {"expression": "2 + 2"}',)),
        Reply(step=2, lines=("text: It is four.",)),
    )
    tool = {"type": "function", "name": "calculate", "parameters": {"type": "object"}, "strict": False}
    [call] = ended(client, begin(tools=[tool])).output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "4"}
    response = ended(client, begin([output], previous_response_id=call_owner()))
    assert response.output_text == "It is four."


def call_owner() -> str:
    return Response.objects.get().id
