"""What models and their servers get wrong, and what the loop makes of it."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from agents.happenings import TurnWaiting
from agents.steps import loop
from agents.steps.progress import Outcome, Parked
from agents.steps.setting import Patience
from agents.tool import Fault, WaitingFor
from agents.transcript import NoteKind
from inference.backends.base import BackendError, BackendOverloaded, BackendUnavailable, PromptTooLong
from inference.backends.scripted import Reply as Line
from inference.backends.scripted import Script, ScriptedBackend
from inference.schema import (
    ChatDelta,
    ChatMessage,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    Role,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from tests.agents.stage import QUESTION, WIDE, Stage

STOP = Outcome(finish_reason=FinishReason.STOP)


class Playing(ScriptedBackend):
    """Answers each call with the next of these streams; the last one again and again."""

    def __init__(self, *streams: tuple[ChatDelta | BackendError, ...]) -> None:
        super().__init__(Script.of())
        self._streams = list(streams)
        self.asked: list[ChatRequest] = []

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self.asked.append(request)
        for delta in self._streams[min(len(self.asked), len(self._streams)) - 1]:
            if isinstance(delta, BackendError):
                raise delta
            yield delta


def call(name: str = "calculate", *, call_id: str = "", index: int = 0) -> ToolCallDelta:
    return ToolCallDelta(index=index, id=call_id, name=name, arguments='{"expression": "1 + 1"}')


def end(reason: FinishReason = FinishReason.STOP) -> Finished:
    return Finished(reason=reason, usage=Usage(output_tokens=1, input_uncached_tokens=1))


ANSWER = (ContentDelta("done"), end())


async def test_calls_are_run_although_the_model_says_that_it_has_stopped() -> None:
    stage = Stage(backend=Playing((call(), end(FinishReason.STOP)), ANSWER))
    assert await stage.drive() == STOP
    assert stage.results(1)[0].for_model == "2"


async def test_ids_that_are_foreign_or_used_twice_are_numbered_on_from_the_conversation() -> None:
    earlier = ToolCall(id="functions.calculate:0", name="calculate", arguments="{}")
    opening = (
        QUESTION,
        ChatMessage(role=Role.ASSISTANT, tool_calls=(earlier,)),
        ChatMessage(role=Role.TOOL, content="1", tool_call_id=earlier.id),
        QUESTION,
    )
    same = (call(call_id="call_x"), call(call_id="call_x", index=1), end())
    stage = Stage(backend=Playing(same, ANSWER), opening=opening)
    await stage.drive()
    ids = [record.call.id for record in stage.progress.transcript.calls()]
    assert ids == ["functions.calculate:1", "functions.calculate:2"]
    asked = stage.kept.requests[1].messages
    assert [message.tool_call_id for message in asked if message.role is Role.TOOL][1:] == ids


async def test_an_unknown_tool_is_told_which_there_are() -> None:
    stage = Stage(backend=Playing((call("no_such_tool"), end()), ANSWER))
    assert await stage.drive() == STOP
    [result] = stage.results(1)
    assert (result.fault, "calculate" in result.for_model) == (Fault.UNKNOWN_TOOL, True)


async def test_an_empty_answer_is_asked_for_once_more() -> None:
    backend = Playing((end(),), ANSWER)
    stage = Stage(backend=backend)
    assert await stage.drive() == STOP
    assert "empty" in backend.asked[1].messages[-1].content
    assert [note.kind for note in stage.kept.notes] == [NoteKind.GUARD]


async def test_a_second_empty_answer_ends_the_turn_in_words() -> None:
    backend = Playing((end(),))
    stage = Stage(backend=backend)
    assert await stage.drive() == Outcome(finish_reason=FinishReason.ERROR, detail=loop.NO_ANSWER)
    assert len(backend.asked) == 2


async def test_a_reply_that_is_all_reasoning_is_followed_by_one_that_may_not_reason() -> None:
    backend = Playing((ReasoningDelta("on and on"), end(FinishReason.LENGTH)), ANSWER)
    stage = Stage(backend=backend)
    assert await stage.drive() == STOP
    assert [request.thinking.enabled for request in backend.asked] == [True, False]
    assert [message.role for message in backend.asked[1].messages] == [Role.USER, Role.USER]


async def test_an_empty_answer_takes_no_step_of_a_turn_that_has_one() -> None:
    stage = Stage(backend=Playing((end(),), ANSWER), limits=replace(WIDE, max_steps=1))
    assert await stage.drive() == STOP


async def test_a_cut_stream_is_played_again_and_only_the_whole_reply_is_kept() -> None:
    backend = Playing((ContentDelta("half"),), ANSWER)
    stage = Stage(backend=backend)
    assert await stage.drive() == STOP
    assert [reply.content for reply in stage.kept.replies] == ["done"]
    assert len({request.id for request in backend.asked}) == 2


async def test_a_busy_server_is_left_alone_for_as_long_as_it_asks() -> None:
    backend = Playing((BackendOverloaded("Busy.", retry_after_s=0.05),), ANSWER)
    assert await Stage(backend=backend).drive() == STOP
    assert len(backend.asked) == 2


async def test_a_server_that_is_busy_for_long_has_the_turn_parked_until_then() -> None:
    stage = Stage(backend=Playing((BackendOverloaded("Come back later.", retry_after_s=300.0),)))
    assert await stage.drive() == Parked(waiting_for=WaitingFor.QUOTA, wake_in_s=300.0)
    assert stage.heard.happened_of(TurnWaiting)
    assert stage.kept.replies == []


async def test_a_server_that_fails_and_one_that_is_slow_are_tried_again() -> None:
    fault = BackendUnavailable("500")
    backend = Playing((fault,), (ReasoningDelta("hm"), fault), ANSWER)
    assert await Stage(backend=backend).drive() == STOP
    assert len(backend.asked) == 3


async def test_a_server_that_stays_away_ends_the_turn_with_what_it_said() -> None:
    stage = Stage(
        backend=Playing((BackendUnavailable("Nobody answers."),)),
        patience=Patience(max_tries=2, max_seconds=1),
    )
    assert await stage.drive() == Outcome(finish_reason=FinishReason.ERROR, detail="Nobody answers.")


async def test_a_prompt_that_was_too_long_after_all_is_asked_again_with_less() -> None:
    backend = Playing((PromptTooLong("Too long."),), ANSWER)
    stage = Stage(backend=backend, context_tokens=10_000)
    assert await stage.drive() == STOP
    assert stage.progress.window_share == pytest.approx(0.8)


async def test_reasoning_is_sent_back_while_tools_are_called_and_no_longer() -> None:
    lines = (
        Line(step=1, lines=("think: first", 'call: calculate {"expression": "1"}')),
        Line(step=2, lines=("think: second", 'call: calculate {"expression": "2"}')),
        Line(step=3, lines=("text: done",)),
    )
    stage = Stage(*lines)
    await stage.drive()
    sent = [m.reasoning for m in stage.kept.requests[2].messages if m.role is Role.ASSISTANT]
    assert sent == ["first", "second"]
