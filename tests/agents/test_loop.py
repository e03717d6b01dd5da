"""The loop on a scripted backend: steps, tools, limits, faults, stops."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from agents.happenings import ModelAwaited
from agents.limits import Limit
from agents.memory_store import MemoryStore
from agents.steps.progress import Outcome
from agents.steps.setting import Patience
from agents.steps.stopping import Interrupted, Why
from agents.tool import ToolContext, ToolResult, Traits
from inference.backends.base import StreamBroken
from inference.backends.scripted import Reply as Line
from inference.backends.scripted import Script, ScriptedBackend
from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    Role,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from tests.agents.stage import WIDE, Stage

CALL_AND_ANSWER = (
    Line(step=1, lines=("think: let me see", 'call: calculate {"expression": "6 * 7"}')),
    Line(step=2, lines=("text: It is 42.",)),
)


class SlowTool:
    """Runs until it is cancelled, and notes that it was."""

    spec = ToolSpec(name="wait", description="Wait.", parameters={"type": "object"})
    traits = Traits()

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.was_cancelled = False

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        raise AssertionError("waits for ever")


class Uncounted(ScriptedBackend):
    """A provider that sends no usage."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        async for delta in super().stream(request):
            yield Finished(reason=delta.reason) if isinstance(delta, Finished) else delta


class Flaky(ScriptedBackend):
    """Breaks off in its first streams, after a piece of text."""

    def __init__(self, *lines: str, num_faults: int) -> None:
        super().__init__(Script.of(*lines))
        self.num_faults = num_faults

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        if self.num_faults:
            self.num_faults -= 1
            yield ContentDelta("half an ")
            raise StreamBroken("The worker died.")
        async for delta in super().stream(request):
            yield delta


async def test_a_direct_answer_is_one_step() -> None:
    stage = Stage("think: two and two", "text: 4")
    assert await stage.drive() == Outcome(finish_reason=FinishReason.STOP)
    assert stage.heard.kinds[0] == "step"
    assert stage.heard.text_of("reasoning") == "two and two"
    assert stage.heard.text_of("content") == "4"
    [reply] = stage.kept.replies
    assert (reply.reasoning, reply.content, reply.usage.reasoning_tokens) == ("two and two", "4", 3)


async def test_the_loop_goes_on_until_no_tool_is_called() -> None:
    stage = Stage(*CALL_AND_ANSWER)
    assert await stage.drive() == Outcome(finish_reason=FinishReason.STOP)
    assert [event for event in stage.heard.events if event[0] in ("call", "result")] == [
        ("call", 1, "functions.calculate:0"),
        ("result", 1, "functions.calculate:0", "42"),
    ]
    assert stage.heard.text_of("content") == "It is 42."
    assert stage.results(1)[0].for_model == "42"


async def test_the_second_request_holds_reasoning_call_and_result_of_the_first() -> None:
    stage = Stage(*CALL_AND_ANSWER)
    await stage.drive()
    user, assistant, tool = stage.kept.requests[1].messages
    assert (user.role, assistant.role, tool.role) == (Role.USER, Role.ASSISTANT, Role.TOOL)
    assert assistant.reasoning == "let me see"
    assert (tool.content, tool.tool_call_id, tool.name) == ("42", "functions.calculate:0", "calculate")


async def test_several_calls_of_one_reply_are_all_answered_in_order() -> None:
    calls = [f'call: calculate {{"expression": "{number} + 1"}}' for number in range(12)]
    stage = Stage(Line(step=1, lines=tuple(calls)), Line(step=2, lines=("text: done",)))
    await stage.drive()
    results = [message.content for message in stage.kept.requests[1].messages if message.role is Role.TOOL]
    assert results == [str(number + 1) for number in range(12)]


async def test_a_bad_call_is_a_result_for_the_model_and_the_turn_goes_on() -> None:
    stage = Stage(
        Line(
            step=1, lines=("call: no_such_tool {}", "call: calculate {not json", 'call: calculate {"x": 1}')
        ),
        Line(step=2, lines=("text: I see.",)),
    )
    assert await stage.drive() == Outcome(finish_reason=FinishReason.STOP)
    unknown, no_json, misfit = stage.results(1)
    assert unknown.is_error == no_json.is_error == misfit.is_error is True
    assert "no tool 'no_such_tool'" in unknown.for_model
    assert "not JSON" in no_json.for_model
    assert "schema" in misfit.for_model


async def test_a_segment_ends_between_steps_and_the_next_goes_on() -> None:
    stage = Stage(*CALL_AND_ANSWER)
    assert await stage.drive(max_steps=1) is None
    assert stage.progress.next_step == 2
    assert await stage.drive(max_steps=1) == Outcome(finish_reason=FinishReason.STOP)
    assert len(stage.kept.replies) == 2


class Dying(MemoryStore):
    """Keeps no result: its worker dies."""

    async def save_result(self, *_: Any, **__: Any) -> None:
        raise ConnectionError("killed")


async def test_calls_left_by_a_dead_worker_are_run_before_the_model_is_called() -> None:
    stage = Stage(*CALL_AND_ANSWER, store=Dying())
    with pytest.raises(ConnectionError):
        await stage.drive()
    again = Stage(*CALL_AND_ANSWER, store=MemoryStore(replies=stage.kept.replies, intents=stage.kept.intents))
    assert await again.drive() == Outcome(finish_reason=FinishReason.STOP)
    assert again.heard.kinds[:3] == ["call", "result", "step"]
    assert again.results(1)[0].for_model == "42"


async def test_an_answer_left_by_a_dead_worker_ends_the_turn_without_a_call() -> None:
    stage = Stage("text: said")
    await stage.drive()
    again = Stage("text: never said", store=stage.kept)
    assert await again.drive() == Outcome(finish_reason=FinishReason.STOP)
    assert len(stage.kept.requests) == 1


async def test_an_empty_account_ends_the_turn_before_the_next_call() -> None:
    stage = Stage(*CALL_AND_ANSWER)
    stage.kept.budget = 1
    assert await stage.drive() == Outcome(finish_reason=FinishReason.LENGTH, detail="The account is empty.")
    assert len(stage.kept.replies) == 1


async def test_thinking_is_asked_for_with_its_budget_only_when_the_turn_thinks() -> None:
    stage = Stage("text: yes", limits=replace(WIDE, max_reasoning_tokens=77))
    await stage.drive()
    assert stage.kept.requests[0].thinking.budget_tokens == 77
    direct = Stage("text: yes")
    direct.setting = replace(direct.setting, thinks=False)
    await direct.drive()
    assert not direct.kept.requests[0].thinking.enabled


async def test_a_broken_call_is_made_again_and_its_first_half_is_void() -> None:
    stage = Stage(backend=Flaky("text: the whole answer", num_faults=1))
    assert await stage.drive() == Outcome(finish_reason=FinishReason.STOP)
    assert stage.heard.kinds.count("step") == 2
    assert [reply.content for reply in stage.kept.replies] == ["the whole answer"]


async def test_every_try_has_a_request_id_of_its_own() -> None:
    class Noting(Flaky):
        ids: list[str] = []

        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            self.ids.append(request.id)
            async for delta in super().stream(request):
                yield delta

    await Stage(backend=Noting("text: 1", num_faults=2)).drive()
    assert len(Noting.ids) == len(set(Noting.ids)) == 3


async def test_a_backend_that_stays_broken_ends_the_turn_with_its_half_kept() -> None:
    stage = Stage(backend=Flaky("text: never", num_faults=99))
    assert await stage.drive() == Outcome(finish_reason=FinishReason.ERROR, detail="The worker died.")
    [reply] = stage.kept.replies
    assert (reply.content, reply.finish_reason, reply.usage) == ("half an ", FinishReason.ERROR, Usage())


async def test_a_backend_that_is_away_is_waited_for_and_what_was_shown_stays() -> None:
    class Away(Flaky):
        async def is_ready(self) -> bool:
            return False

    patience = Patience(max_seconds=0.1, poll_seconds=0.01)
    stage = Stage(backend=Away("text: never", num_faults=99), patience=patience)
    assert await stage.drive() == Outcome(finish_reason=FinishReason.ERROR, detail="The worker died.")
    away = ("happened", ModelAwaited(step=1, seconds=0))  # its readers know why nothing comes
    assert stage.heard.events == [("step", 1), ("content", 1, "half an "), away]


async def test_a_request_at_fault_is_not_made_again() -> None:
    stage = Stage("error: rejected The prompt is too long.")
    outcome = await stage.drive()
    assert outcome == Outcome(finish_reason=FinishReason.ERROR, detail="The prompt is too long.")
    assert stage.heard.events == [("step", 1)]
    assert stage.kept.replies == []


async def test_a_reply_that_ends_in_an_error_ends_the_turn_with_its_reason() -> None:
    class Failing(ScriptedBackend):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            yield ContentDelta("so far")
            yield Finished(reason=FinishReason.ERROR, detail="Out of memory.")

    stage = Stage(backend=Failing(Script.of()))
    assert await stage.drive() == Outcome(finish_reason=FinishReason.ERROR, detail="Out of memory.")
    assert stage.kept.replies[0].content == "so far"


async def test_calls_of_a_reply_that_was_cut_at_its_length_are_not_run() -> None:
    stage = Stage("text: and", 'call: calculate {"expression": "1"}', "finish: length")
    assert await stage.drive() == Outcome(finish_reason=FinishReason.LENGTH)
    assert stage.kept.results == {}


@pytest.mark.parametrize(
    "lines",
    [
        ("stall:",),
        ("think: hm", "stall:"),
        ("think: hm", "text: so far", "stall:"),
        ("error: overloaded Come back later.",),
    ],
    ids=["before the first token", "reasoning", "content", "waiting for another try"],
)
async def test_a_stop_ends_every_phase_at_once_and_keeps_what_was_shown(lines: tuple[str, ...]) -> None:
    stage = Stage(*lines, patience=Patience(max_seconds=60))
    driving = asyncio.create_task(stage.drive())
    await asyncio.sleep(0.05)
    began = asyncio.get_running_loop().time()
    stage.stop.set(Why.CANCELLED)
    assert await driving == Outcome(finish_reason=FinishReason.CANCELLED)
    assert asyncio.get_running_loop().time() - began < 10
    kept = "".join(reply.reasoning + reply.content for reply in stage.kept.replies)
    assert kept == stage.heard.text_of("reasoning") + stage.heard.text_of("content")


async def test_a_stop_ends_a_running_tool() -> None:
    tool = SlowTool()
    stage = Stage("text: wait", "call: wait {}", tools=[tool])
    driving = asyncio.create_task(stage.drive())
    await tool.began.wait()
    stage.stop.set(Why.CANCELLED)
    assert await driving == Outcome(finish_reason=FinishReason.CANCELLED)
    assert tool.was_cancelled
    assert stage.kept.results == {}


async def test_what_a_stopped_call_made_is_estimated() -> None:
    stage = Stage("text: three words here", "stall:")
    driving = asyncio.create_task(stage.drive())
    await asyncio.sleep(0.05)
    stage.stop.set(Why.CANCELLED)
    await driving
    [reply] = stage.kept.replies
    assert reply.is_estimated
    assert reply.usage == Usage(input_uncached_tokens=3, output_tokens=3)


async def test_the_time_limit_ends_the_turn_with_what_was_answered() -> None:
    stage = Stage("text: so far", "stall:")
    asyncio.get_running_loop().call_later(0.05, stage.stop.set, Why.TIME)
    outcome = await stage.drive()
    assert outcome == Outcome(finish_reason=FinishReason.LENGTH, limit=Limit.SECONDS)
    assert stage.kept.replies[0].content == "so far"


async def test_a_worker_that_lost_its_turn_writes_nothing_more() -> None:
    stage = Stage("text: so far", "stall:")
    asyncio.get_running_loop().call_later(0.05, stage.stop.set, Why.LOST)
    with pytest.raises(Interrupted):
        await stage.drive()
    assert stage.kept.replies == []


async def test_half_a_surrogate_pair_does_no_harm() -> None:
    class Splitting(ScriptedBackend):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            yield ContentDelta("so \ud83d")
            yield Finished(reason=FinishReason.STOP)

    stage = Stage(backend=Splitting(Script.of()))
    await stage.drive()
    assert stage.kept.replies[0].content == stage.heard.text_of("content") == "so ?"


async def test_calls_are_numbered_over_the_whole_conversation_whatever_their_ids() -> None:
    class Repeating(ScriptedBackend):
        num_streams = 0

        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            self.num_streams += 1
            if self.num_streams < 3:
                arguments = '{"expression": "1 + 1"}'
                yield ToolCallDelta(index=0, id="call_0", name="calculate", arguments=arguments)
                yield Finished(reason=FinishReason.TOOL_CALLS)
            else:
                yield ContentDelta("done")
                yield Finished(reason=FinishReason.STOP)

    stage = Stage(backend=Repeating(Script.of()))
    assert await stage.drive() == Outcome(finish_reason=FinishReason.STOP)
    ids = [record.call.id for record in stage.progress.transcript.calls()]
    assert ids == ["functions.calculate:0", "functions.calculate:1"]


async def test_an_id_made_for_a_call_is_not_that_of_another_call() -> None:
    class Misnumbering(ScriptedBackend):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            if len(request.messages) > 1:
                yield Finished(reason=FinishReason.STOP)
                return
            arguments = '{"expression": "1 + 1"}'
            yield ToolCallDelta(index=0, id="functions.calculate:1", name="calculate", arguments=arguments)
            yield ToolCallDelta(index=1, name="calculate", arguments='{"expression": "2 + 2"}')
            yield Finished(reason=FinishReason.TOOL_CALLS)

    stage = Stage(backend=Misnumbering(Script.of()))
    await stage.drive()
    calls = stage.kept.replies[0].tool_calls
    assert len({call.id for call in calls}) == 2


async def test_an_answer_that_the_backend_did_not_count_is_estimated_and_says_so() -> None:
    stage = Stage(backend=Uncounted(Script.of("text: one two three")))
    await stage.drive()
    [reply] = stage.kept.replies
    assert reply.is_estimated
    assert reply.usage == Usage(input_uncached_tokens=3, output_tokens=3)
