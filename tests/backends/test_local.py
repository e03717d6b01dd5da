"""The local backend and the worker's service: budgets, aborts, refusals, parts that go away."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import pytest
import redis.asyncio as redis

from inference.backends.base import BackendUnavailable, RequestRejected, StreamBroken
from inference.backends.scripted import Reply
from inference.parsers import reasoning
from inference.request_queue.messages import Fault, Heartbeat, WorkerState
from inference.schema import (
    ChatMessage,
    ContentDelta,
    FinishReason,
    Role,
    Sampling,
    Thinking,
    ToolCall,
    ToolSpec,
)
from tests.backends.asking import Answer, ask, collect
from tests.backends.stands import MODEL, LocalStand
from tests.backends.tiny_engine import CONTEXT_TOKENS

THINKING = Thinking(enabled=True)
CALCULATOR = ToolSpec(name="calculator", description="Computes.", parameters={"type": "object"})


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.02)


async def keys(redis_url: str) -> set[str]:
    async with redis.Redis.from_url(redis_url) as client:
        return {key.decode() async for key in client.scan_iter("inference:*")}


async def test_nothing_is_left_in_redis_when_a_request_is_done(local: LocalStand, redis_url: str):
    local.play("text: a b c")
    await collect(local.backend, ask())

    async def is_clean() -> bool:
        async with redis.Redis.from_url(redis_url) as client:
            backlog = await client.xlen(f"inference:{MODEL}:requests")
        return backlog == 0 and not any("request-1" in key for key in await keys(redis_url))

    await until(is_clean, within_s=30)


async def test_thinking_is_asked_for_and_led(local: LocalStand):
    local.play("think: hm", "text: 4")
    await collect(local.backend, ask("2+2?", thinking=THINKING))
    led = f"system\n{reasoning.REQUEST}\nuser\n2+2?\nassistant\n<think>\n"
    assert local.engine.prompts[-1] == led, "control tokens have no text"
    await collect(local.backend, ask("2+2?"))
    assert local.engine.prompts[-1] == "user\n2+2?\nassistant\n"


CALL = ToolCall(id="functions.calculator:0", name="calculator", arguments='{"expression":"2+2"}')
AFTER_RESULT = (
    ChatMessage(role=Role.USER, content="2+2?"),
    ChatMessage(role=Role.ASSISTANT, content="I compute.", reasoning="hm", tool_calls=(CALL,)),
    ChatMessage(role=Role.TOOL, content="4", tool_call_id=CALL.id),
)


async def test_past_reasoning_is_shown_again(local: LocalStand):
    history = (*AFTER_RESULT, ChatMessage(role=Role.USER, content="And now?"))
    await collect(local.backend, ask(messages=history, thinking=THINKING))
    assert "assistant\n<think>\nhm\n</think>\n\nI compute.\n" in local.engine.prompts[-1]


async def test_after_a_result_a_led_model_is_pointed_to_the_question(local: LocalStand):
    local.play("text: It is 4.")
    answer = await collect(local.backend, ask(messages=AFTER_RESULT, thinking=THINKING))
    assert (answer.reasoning, answer.content) == ("", "It is 4.")
    assert "<think>" not in local.engine.prompts[-1]
    assert local.engine.prompts[-1].endswith(f"tool\n2+2 → 4\n\n{reasoning.RESULT_REQUEST}2+2?\nassistant\n")


async def test_a_call_that_was_answered_is_not_made_again(local: LocalStand):
    again = 'call: calculator {"expression": "2+2"}'
    local.play(Reply(when="Answer:$", lines=("text:  4",)), Reply(lines=(again,)))
    request = ask(messages=AFTER_RESULT, thinking=THINKING, tools=(CALCULATOR,))
    answer = await collect(local.backend, request)
    assert (answer.content, answer.tool_calls) == ("4", [])
    local.play('call: calculator {"expression": "3+3"}')
    other = await collect(local.backend, msgspec.structs.replace(request, id="request-2"))
    assert [call.id for call in other.tool_calls] == ["functions.calculator:1"]


async def test_the_budget_closes_the_reasoning_and_the_answer_follows(local: LocalStand):
    local.play("think: " + "hm " * 500, "text: It is 4.")
    thinking = Thinking(enabled=True, budget_tokens=60)
    answer = await collect(local.backend, ask(thinking=thinking))
    assert answer.content == "It is 4."
    assert answer.finished.reason is FinishReason.STOP
    # The closing mark itself, and what the engine said until it heard of it.
    assert 60 <= answer.finished.usage.reasoning_tokens < 60 + len(reasoning.CLOSING) + 40
    assert "think>" not in answer.reasoning


async def test_some_of_the_length_is_left_to_answer_with(local: LocalStand):
    local.play("think: " + "hm " * 500, "text: It is 4.")
    answer = await collect(local.backend, ask(thinking=THINKING, sampling=Sampling(max_tokens=200)))
    assert answer.content == "It is 4."
    assert answer.finished.usage.output_tokens <= 200


async def test_a_model_that_stops_in_its_reasoning_is_led_on_to_the_answer(local: LocalStand):
    local.engine.think_end = ""
    local.play(
        Reply(when="Answer:$", lines=("text:  It is 4.",)), Reply(lines=("cached: 5", "think: so it is 4"))
    )
    answer = await collect(local.backend, ask("2+2?", thinking=THINKING))
    assert (answer.reasoning, answer.content) == ("so it is 4", "It is 4.")
    assert local.engine.prompts[1].endswith("<think>\nso it is 4\n</think>\n\nAnswer:")
    assert answer.finished.usage.input_cached_tokens == 5, "counted once, for the request's own prompt"


async def test_with_tools_such_a_model_may_call_one(local: LocalStand):
    local.engine.think_end = ""
    call = Reply(when="think>\n\n$", lines=('call: calculator {"expression": "2+2"}',))
    local.play(call, Reply(lines=("think: I compute it",)))
    answer = await collect(local.backend, ask("2+2?", thinking=THINKING, tools=(CALCULATOR,)))
    assert (answer.reasoning, answer.content) == ("I compute it", "")
    assert [one.arguments for one in answer.tool_calls] == ['{"expression": "2+2"}']


async def test_a_model_that_says_nothing_even_so_is_let_be(local: LocalStand):
    local.play("think: so it is 4")
    answer = await collect(local.backend, ask("是多少？", thinking=THINKING))
    assert local.engine.prompts[-1].endswith("</think>\n\n\n\n答案：")
    assert (answer.content, answer.finished.reason) == ("", FinishReason.STOP)


async def test_stop_strings_end_the_answer_and_the_sequence(local: LocalStand):
    local.play("text: one two STOP three", "stall:")
    answer = await asyncio.wait_for(collect(local.backend, ask(sampling=Sampling(stop=("STOP",)))), 5)
    assert (answer.content, answer.finished.reason) == ("one two ", FinishReason.STOP)
    assert answer.finished.stop_sequence == "STOP"
    await asyncio.wait_for(local.seen_closed(), 30)


async def test_a_prompt_is_counted_by_the_worker_without_an_answer(local: LocalStand):
    local.play("text: one two three")
    answered = await collect(local.backend, ask("2+2?"))
    num_prompts = len(local.engine.prompts)
    counted = await collect(local.backend, ask("2+2?", id="request-2", sampling=Sampling(max_tokens=0)))
    assert counted.deltas == [counted.finished]
    assert counted.finished.usage.input_tokens == answered.finished.usage.input_tokens > 0
    assert counted.finished.usage.output_tokens == 0
    assert len(local.engine.prompts) == num_prompts, "the engine never saw it"


async def test_a_prompt_that_is_too_long_is_refused_with_numbers(local: LocalStand):
    numbers = rf"is 2,019 tokens long; this model reads at most {CONTEXT_TOKENS - 1:,}"
    with pytest.raises(RequestRejected, match=numbers):
        await collect(local.backend, ask("x" * CONTEXT_TOKENS))


async def test_a_model_that_loads_says_how_far_it_is(redis_url: str, local: LocalStand):
    local.vitals.state, local.vitals.progress = WorkerState.LOADING, 0.4
    await local.transport.beat(local.vitals.heartbeat())
    assert not await local.backend.is_ready()
    with pytest.raises(BackendUnavailable, match=r"is loading \(40%\)"):
        await collect(local.backend, ask())


async def test_the_worker_counts_what_it_does(local: LocalStand):
    local.play("cached: 2", "text: four")
    await collect(local.backend, ask())
    await local.transport.beat(local.vitals.heartbeat())
    [heartbeat] = await local.transport.workers(MODEL)
    assert isinstance(heartbeat, Heartbeat)
    counted = msgspec.structs.asdict(heartbeat)
    assert counted["requests_total"] == sum(heartbeat.histograms["ttft_s"].counts) == 1
    assert (counted["output_tokens_total"], counted["cached_tokens_total"]) == (4, 2)
    assert sum(heartbeat.histograms["itl_s"].counts) == 3, "four tokens have three times between them"
    assert sum(heartbeat.histograms["batch_size"].counts) == 4
    assert heartbeat.kernel == "tiny"


async def test_a_reader_that_died_is_noticed_and_its_request_aborted(local: LocalStand):
    local.play("text: a", "stall:")
    ticket = await local.transport.send(ask(), model=MODEL)  # a reader that never gives a sign of life again
    await asyncio.wait_for(local.seen_closed(), 30)

    async def is_gone() -> bool:
        return not await local.transport.is_queued(ticket)

    await until(is_gone, within_s=30)
    last = (await local.transport.receive(ticket, after=0, timeout_s=1))[-1].reply
    assert isinstance(last, Fault), "one that was only held up for long finds out why"
    assert "nobody had read it for 8 seconds" in last.message


@pytest.mark.parametrize("crash", [RuntimeError("a fault"), BaseException("a panic of a library in Rust")])
async def test_an_engine_that_crashes_breaks_the_stream_and_ends_the_service(
    local: LocalStand, crash: BaseException
):
    local.play("text: so far", "stall:")
    so_far = Answer()
    reading = asyncio.create_task(collect(local.backend, ask(), into=so_far))
    await asyncio.wait_for(_content(so_far, "so far"), 30)
    local.engine.crash = crash
    with pytest.raises(StreamBroken, match="stopped in the middle"):
        await asyncio.wait_for(reading, 30)


async def test_a_service_that_drains_finishes_what_it_has(local: LocalStand):
    local.play("text: a", "wait: 0.3", "text: b")
    so_far = Answer()
    reading = asyncio.create_task(collect(local.backend, ask(), into=so_far))
    await asyncio.wait_for(_content(so_far, "a"), 5)
    local.service.stop()
    answer = await asyncio.wait_for(reading, 30)
    assert answer.content == "ab"


async def test_a_service_out_of_time_breaks_what_it_has(local: LocalStand):
    local.play("text: a", "stall:")
    so_far = Answer()
    reading = asyncio.create_task(collect(local.backend, ask(), into=so_far))
    await asyncio.wait_for(_content(so_far, "a"), 5)
    stopped_at = time.monotonic()
    local.service.stop()
    with pytest.raises(StreamBroken):
        await asyncio.wait_for(reading, 30)
    assert time.monotonic() - stopped_at < 3


async def _content(answer: Answer, text: str) -> None:
    while answer.content != text:
        await asyncio.sleep(0.01)


async def test_many_small_deltas_arrive_in_fewer_replies_and_the_first_at_once(local: LocalStand):
    local.engine.step_s = 0.0005
    local.play("text: " + "word " * 100)
    answer = await collect(local.backend, ask())
    pieces = [delta for delta in answer.deltas if isinstance(delta, ContentDelta)]
    assert answer.content == "word " * 100
    assert len(pieces[0].text) < 20
    assert len(pieces) < 100, "500 tokens, a byte each"


async def test_a_led_model_is_told_of_the_tool_that_it_planned_to_use(local: LocalStand):
    local.play("text: It is 4.")
    tools = (CALCULATOR, msgspec.structs.replace(CALCULATOR, name="search"))
    planning = msgspec.structs.replace(AFTER_RESULT[1], reasoning="First compute, then search.")
    request = ask(messages=(AFTER_RESULT[0], planning, AFTER_RESULT[2]), thinking=THINKING, tools=tools)
    await collect(local.backend, request)
    assert local.engine.prompts[-1].endswith(f"tool\n4\n\n({reasoning.UNUSED}search.)\nassistant\n")
    await collect(local.backend, ask(id="two", messages=AFTER_RESULT, thinking=THINKING, tools=tools))
    assert local.engine.prompts[-1].endswith(f"2+2 → 4\n\n{reasoning.NEXT_REQUEST}2+2?\nassistant\n")
