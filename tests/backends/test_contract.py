"""What every backend promises. The same tests run on each; a new backend is done when it passes them."""

import asyncio

import pytest

from inference.backends.base import BackendOverloaded, BackendUnavailable, RequestRejected, StreamBroken
from inference.backends.scripted import Reply
from inference.schema import (
    ContentDelta,
    FinishReason,
    ReasoningDelta,
    Sampling,
    Thinking,
    ToolCallDelta,
    ToolSpec,
)
from tests.backends.asking import Answer, ask, collect
from tests.backends.stands import Stand

CALCULATOR = ToolSpec(name="calculator", description="Computes.", parameters={"type": "object"})
THINKING = Thinking(enabled=True)


async def test_content_comes_whole_and_is_finished_once(stand: Stand):
    stand.play("text: The capital of 法国 is **Paris** 🙂.\n\n1. one\n2. two")
    answer = await collect(stand.backend, ask())
    assert answer.content == "The capital of 法国 is **Paris** 🙂.\n\n1. one\n2. two"
    assert answer.finished.reason is FinishReason.STOP
    assert answer.finished.usage.output_tokens > 0
    assert answer.finished.usage.input_tokens > 0


async def test_reasoning_comes_before_content_and_is_counted(stand: Stand):
    stand.play("think: two and two", "text: It is 4.")
    answer = await collect(stand.backend, ask(thinking=THINKING))
    assert (answer.reasoning, answer.content) == ("two and two", "It is 4.")
    kinds = [type(delta) for delta in answer.deltas]
    assert kinds.index(ContentDelta) > max(
        place for place, kind in enumerate(kinds) if kind is ReasoningDelta
    )
    usage = answer.finished.usage
    assert 0 < usage.reasoning_tokens < usage.output_tokens


async def test_without_thinking_there_is_no_reasoning(stand: Stand):
    stand.play("think: two and two", "text: It is 4.")
    answer = await collect(stand.backend, ask(thinking=Thinking(enabled=False)))
    assert (answer.reasoning, answer.content) == ("", "It is 4.")
    assert answer.finished.usage.reasoning_tokens == 0


async def test_tool_calls_come_after_content_with_ids_and_whole_arguments(stand: Stand):
    stand.play(
        "text: Let me see.", 'call: calculator {"expression": "17 * 23"}', 'call: calculator {"a": "ü🙂"}'
    )
    answer = await collect(stand.backend, ask(tools=(CALCULATOR,)))
    assert answer.content == "Let me see."
    assert [(call.id, call.name) for call in answer.tool_calls] == [
        ("functions.calculator:0", "calculator"),
        ("functions.calculator:1", "calculator"),
    ]
    assert [call.arguments for call in answer.tool_calls] == ['{"expression": "17 * 23"}', '{"a": "ü🙂"}']
    assert isinstance(answer.deltas[-2], ToolCallDelta)
    assert answer.finished.reason is FinishReason.TOOL_CALLS


async def test_cached_input_is_counted_apart(stand: Stand):
    stand.play("cached: 3", "text: ok")
    usage = (await collect(stand.backend, ask("one two three four five"))).finished.usage
    assert usage.input_cached_tokens == 3
    assert usage.input_uncached_tokens == usage.input_tokens - 3 > 0


async def test_the_longest_answer_is_kept_to(stand: Stand):
    stand.play("text: 1 2 3 4 5 6 7 8 9")
    answer = await collect(stand.backend, ask(sampling=Sampling(max_tokens=4)))
    assert answer.finished.reason is FinishReason.LENGTH
    assert answer.finished.usage.output_tokens == 4
    assert "1 2 3 4 5 6 7 8 9".startswith(answer.content)


async def test_closing_the_stream_stops_the_far_end(stand: Stand):
    stand.play("text: a b c", "stall:")
    stream = stand.backend.stream(ask())
    assert isinstance(await anext(stream), ContentDelta)
    await stream.aclose()
    await asyncio.wait_for(stand.seen_closed(), 10)


async def test_cancelling_the_reader_before_the_first_word_stops_the_far_end(stand: Stand):
    stand.play("stall:")
    reading = asyncio.create_task(collect(stand.backend, ask()))
    await asyncio.sleep(0.3)  # long enough to be asked, whatever the transport
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.wait_for(stand.seen_closed(), 10)


async def test_several_at_once_do_not_mix(stand: Stand):
    names = [f"name{number}" for number in range(12)]
    stand.play(*(Reply(when=f"{name}$", lines=(f"text: I am {name}.",)) for name in names))
    answers = await asyncio.gather(
        *(collect(stand.backend, ask(f"are you {name}", id=f"request-{name}")) for name in names)
    )
    assert [answer.content for answer in answers] == [f"I am {name}." for name in names]


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("rejected", RequestRejected),
        ("overloaded", BackendOverloaded),
        ("unavailable", BackendUnavailable),
        ("broken", StreamBroken),
    ],
)
async def test_faults_have_their_kind_and_say_something(stand: Stand, kind: str, fault: type[Exception]):
    stand.break_with(kind)
    so_far = Answer()
    with pytest.raises(fault, match=r"\w+ \w+"):
        await asyncio.wait_for(collect(stand.backend, ask(), into=so_far), 10)
    assert so_far.content == ("so far" if kind == "broken" else "")


async def test_it_is_ready(stand: Stand):
    assert await stand.backend.is_ready()
