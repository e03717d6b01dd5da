"""The scripted backend's own grammar; what it shares with the other backends is in test_contract.py."""

import asyncio
from pathlib import Path

import pytest

from inference.backends.base import BackendOverloaded, BackendUnavailable, RequestRejected, StreamBroken
from inference.backends.scripted import Reply, Script, ScriptedBackend
from inference.schema import (
    ChatMessage,
    ChatRequest,
    ContentDelta,
    FinishReason,
    Role,
    Sampling,
    Thinking,
    ToolCall,
    ToolCallDelta,
)
from tests.backends.asking import Answer, ask, collect


async def play(script: Script, request: ChatRequest) -> Answer:
    return await collect(ScriptedBackend(script), request)


async def test_reasoning_comes_only_when_asked_for():
    script = Script.of("think: two and two", "text: It is  4,\n你好.")
    assert (await play(script, ask())).reasoning == ""
    thought = await play(script, ask(thinking=Thinking(enabled=True)))
    assert thought.reasoning == "two and two"
    assert thought.content == "It is  4,\n你好."
    assert thought.finished.usage.reasoning_tokens == 3


async def test_budget_and_longest_answer_cut_the_script():
    script = Script.of("think: one two three", "text: four five six")
    thinking = Thinking(enabled=True, budget_tokens=2)
    answer = await play(script, ask(thinking=thinking, sampling=Sampling(max_tokens=3)))
    assert answer.reasoning == "one two"
    assert answer.content == "four"
    assert answer.finished.reason is FinishReason.LENGTH
    assert answer.finished.usage.output_tokens == 3


async def test_a_reply_is_chosen_by_question_and_step():
    script = Script(
        replies=(
            Reply(when="sum", step=1, lines=('call: calculator {"expression": "1+1"}',)),
            Reply(when="sum", step=2, lines=("text: 2",)),
            Reply(lines=("text: hello",)),
        )
    )
    called = await play(script, ask("a sum"))
    assert called.deltas[0] == ToolCallDelta(index=0, id="functions.calculator:0", name="calculator")
    assert called.finished.reason is FinishReason.TOOL_CALLS
    call = ToolCall(id="functions.calculator:0", name="calculator", arguments="{}")
    history = (
        ChatMessage(role=Role.USER, content="a sum"),
        ChatMessage(role=Role.ASSISTANT, tool_calls=(call,)),
        ChatMessage(role=Role.TOOL, content="2", tool_call_id=call.id),
    )
    assert (await play(script, ask(messages=history))).content == "2"
    assert (await play(script, ask("else"))).content == "hello"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("break:", StreamBroken),
        ("error: rejected too long", RequestRejected),
        ("error: overloaded come back", BackendOverloaded),
        ("error: unavailable nobody", BackendUnavailable),
    ],
)
async def test_faults_come_after_what_was_said(line: str, fault: type[Exception]):
    so_far = Answer()
    with pytest.raises(fault):
        await collect(ScriptedBackend(Script.of("text: so far", line)), ask(), into=so_far)
    assert so_far.content == "so far"


async def test_a_stalled_stream_says_nothing_until_closed():
    stream = ScriptedBackend(Script.of("text: a", "stall:", "text: b")).stream(ask())
    assert await anext(stream) == ContentDelta("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.1)
    await stream.aclose()


async def test_pace_and_wait_take_their_time():
    started_at = asyncio.get_running_loop().time()
    await play(Script.of("wait: 0.05", "pace: 100", "text: 1 2 3 4 5"), ask())
    assert asyncio.get_running_loop().time() - started_at >= 0.1


async def test_a_script_file_is_read_anew_and_a_bad_one_is_named(tmp_path: Path):
    path = tmp_path / "script.json"
    backend = ScriptedBackend.from_file(path)
    assert not await backend.is_ready()
    Script.of("text: a").write(path)
    assert await backend.is_ready()
    Script.of("sing: la").write(path)
    with pytest.raises(BackendUnavailable, match=r"script\.json.*sing"):
        await collect(backend, ask())


async def test_a_request_the_script_does_not_know_is_rejected():
    with pytest.raises(RequestRejected, match="no reply"):
        await play(Script(replies=(Reply(when="never", lines=("text: x",)),)), ask())
