"""What a limit does to a turn: a warning, then one answer with what is known, never an exception."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agents.happenings import NoteAdded
from agents.limits import Limit, Limits
from agents.memory_store import MemoryStore
from agents.steps.progress import Outcome
from agents.tool import Fault, ToolContext, ToolResult, ToolUsage, Traits
from agents.transcript import Note, NoteKind
from inference.backends.scripted import Reply as Line
from inference.schema import FinishReason, ToolSpec
from tests.agents.stage import WIDE, Stage

ON_AND_ON = ("text: word", 'call: calculate {"expression": "1"}')


def budget_notes(stage: Stage) -> list[tuple[str, bool]]:
    """Of which limit, and whether it was the last word."""
    notes = [note for note in stage.kept.notes if note.kind is NoteKind.BUDGET]
    return [(note.data["limit"], note.data["share"] >= 1) for note in notes]


class Using:
    """Uses some of the sandbox's time, and fetches something."""

    spec = ToolSpec(name="use", description="Use.", parameters={"type": "object"})
    traits = Traits()

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        return ToolResult(for_model="used", usage=ToolUsage(sandbox_ms=1_000, fetched_bytes=100, cost_nano=7))


async def test_at_the_last_step_an_answer_is_asked_for_with_tools_forbidden() -> None:
    stage = Stage(*ON_AND_ON, limits=replace(WIDE, max_steps=3))
    assert await stage.drive() == Outcome(finish_reason=FinishReason.LENGTH, limit=Limit.STEPS)
    assert [request.tool_choice for request in stage.kept.requests] == ["auto", "auto", "auto", "none"]
    assert all(request.tools for request in stage.kept.requests), "the prompt's beginning stays the same"
    assert "Answer now" in stage.kept.requests[-1].messages[-1].content


async def test_a_warning_comes_once_for_each_limit() -> None:
    stage = Stage(*ON_AND_ON, limits=replace(WIDE, max_steps=10, max_output_tokens=25))
    await stage.drive()
    assert sorted(budget_notes(stage)) == [("output_tokens", False), ("output_tokens", True)]
    shown = [event.data["limit"] for event in stage.heard.happened_of(NoteAdded)]
    assert shown == [limit for limit, _ in budget_notes(stage)]


async def test_what_its_agents_cost_counts_for_the_warning_and_for_the_end() -> None:
    store = MemoryStore(agents_nano=85)
    stage = Stage(*ON_AND_ON, limits=replace(WIDE, max_cost_nano=100), store=store)
    await stage.drive(max_steps=2)
    assert budget_notes(stage) == [("cost", False)]
    store.agents_nano = 99
    assert await stage.drive() == Outcome(finish_reason=FinishReason.LENGTH, limit=Limit.COST)


@pytest.mark.parametrize(
    ("bounds", "limit"),
    [
        ({"max_output_tokens": 40}, Limit.OUTPUT_TOKENS),
        ({"max_total_tokens": 80}, Limit.TOTAL_TOKENS),
        ({"max_cost_nano": 20}, Limit.COST),
        ({"max_sandbox_seconds": 3}, Limit.SANDBOX_SECONDS),
        ({"max_fetched_bytes": 300}, Limit.FETCHED_BYTES),
    ],
    ids=str,
)
async def test_each_limit_ends_the_turn_with_an_answer(bounds: dict[str, int], limit: Limit) -> None:
    stage = Stage("text: word", "call: use {}", tools=[Using()], limits=replace(WIDE, **bounds))  # type: ignore[arg-type]
    assert await stage.drive() == Outcome(finish_reason=FinishReason.LENGTH, limit=limit)
    assert stage.kept.requests[-1].tool_choice == "none"
    assert stage.kept.replies[-1].content == "word"
    assert len(stage.kept.requests) <= 30


async def test_a_limit_is_overspent_by_one_call_at_most() -> None:
    stage = Stage(*ON_AND_ON, limits=replace(WIDE, max_cost_nano=20))
    await stage.drive()
    costs = [reply.usage.output_tokens for reply in stage.kept.replies]
    assert sum(costs) <= 20 + max(costs)


async def test_a_tool_that_was_called_too_often_is_refused_and_the_turn_goes_on() -> None:
    calls = tuple(f'call: calculate {{"expression": "{n}"}}' for n in range(4))
    stage = Stage(
        Line(step=1, lines=calls),
        Line(step=2, lines=('call: calculate {"expression": "9"}',)),
        Line(step=3, lines=("text: done",)),
        limits=replace(WIDE, max_calls_per_tool={"calculate": 3}),
    )
    assert await stage.drive() == Outcome(finish_reason=FinishReason.STOP)
    faults = [result.fault for result in stage.results(1) + stage.results(2)]
    assert faults == [None, None, None, Fault.REFUSED, Fault.REFUSED]
    assert ("calls", False) in budget_notes(stage)


async def test_a_tool_is_stopped_in_time_for_an_answer() -> None:
    class Slow(Using):
        async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
            await asyncio.Event().wait()
            raise AssertionError("waits for ever")

    bounds = Limits(max_steps=50, max_seconds=1, max_reasoning_tokens=0, max_output_tokens=10_000)
    lines = (Line(step=1, lines=("call: use {}",)), Line(step=2, lines=("text: This is what I know.",)))
    stage = Stage(*lines, tools=[Slow()], limits=bounds)
    assert await stage.drive() == Outcome(finish_reason=FinishReason.LENGTH, limit=Limit.SECONDS)
    assert stage.results(1)[0].fault is Fault.TIMEOUT
    assert stage.kept.replies[-1].content == "This is what I know."


async def test_calls_that_lead_nowhere_end_the_turn_with_an_answer() -> None:
    def stop(transcript: Any) -> Note | None:
        if len(transcript.steps) != 2 or transcript.notes:
            return None
        return Note(step=2, kind=NoteKind.GUARD, text="Stop.", data={"level": "stop"})

    stage = Stage(*ON_AND_ON, guard=stop)
    assert await stage.drive() == Outcome(finish_reason=FinishReason.LENGTH, limit=Limit.REPEATS)
    assert len(stage.kept.requests) == 3


async def test_advice_to_go_on_in_words_forbids_tools_for_one_step() -> None:
    def advise(transcript: Any) -> Note | None:
        if len(transcript.steps) != 1 or transcript.notes:
            return None
        return Note(step=1, kind=NoteKind.GUARD, text="Words only.", data={"level": "text_only"})

    stage = Stage(*ON_AND_ON, guard=advise, limits=replace(WIDE, max_steps=3))
    await stage.drive()
    assert [request.tool_choice for request in stage.kept.requests] == ["auto", "none", "auto", "none"]
