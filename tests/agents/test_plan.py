"""The plan tool."""

import json
from typing import Any

import pytest

from agents.happenings import PlanChanged, PlanLine
from agents.notebook import InMemoryNotebook
from agents.tool import (
    Decided,
    Decision,
    Fault,
    Intent,
    IntentState,
    ToolContext,
    ToolResult,
    Waiting,
    WaitingFor,
)
from agents.tooling.toolset import Toolset
from agents.tools.memory import Recall, Remember
from agents.tools.plan import Plan
from agents.tools.rollback import Rollback
from tests.agents.transcripts import Story, quarters


class Desk:
    """The plan tool of a turn of one search, called as the loop calls it."""

    def __init__(self, *, needs_approval: bool = False) -> None:
        self.story = Story()
        self.story.step("6,400 km")
        self.notebook = InMemoryNotebook(self.story.transcript)
        self.toolset = Toolset([Plan(self.notebook, needs_approval=needs_approval)])

    async def write(self, *lines: dict[str, Any], decision: Decision | None = None) -> ToolResult | Waiting:
        intent = Intent(
            step=2,
            index=0,
            call_id="functions.plan:1",
            name="plan",
            arguments=json.dumps({"lines": lines}),
            key="turn.2.0",
            state=IntentState.WAITING if decision else IntentState.INTENDED,
            decided=Decided(decision=decision, answer="Too long.") if decision else None,
        )
        return await self.toolset.run(intent, ToolContext(key="turn.2.0", step=2))


async def test_a_written_plan_is_kept_and_everybody_hears_of_all_of_it():
    desk = Desk()
    done: dict[str, Any] = {
        "text": "Find it",
        "phase": "gather",
        "status": "done",
        "evidence": ["functions.search:0"],
    }
    result = await desk.write(done, {"text": "Check it"})
    lines = [PlanLine(**done), PlanLine(text="Check it")]
    assert isinstance(result, ToolResult)
    assert result.happenings == (PlanChanged(step=2, items=lines),)
    assert await desk.notebook.plan() == tuple(lines)
    assert result.for_model == "Saved: 1 done, 1 todo."


async def test_evidence_that_nobody_has_seen_is_refused_by_name():
    desk = Desk()
    result = await desk.write({"text": "Find it", "evidence": ["functions.search:0", "functions.search:9"]})
    assert isinstance(result, ToolResult)
    assert result.fault is Fault.BAD_ARGUMENTS
    assert "functions.search:9" in result.for_model
    assert "functions.search:0" not in result.for_model
    assert await desk.notebook.plan() == ()


@pytest.mark.parametrize("lines", [[], [{"text": ""}], [{"text": "a", "status": "maybe"}], [{"note": "a"}]])
async def test_what_is_no_plan_is_refused(lines):
    result = await Desk().write(*lines)
    assert isinstance(result, ToolResult)
    assert result.fault is Fault.BAD_ARGUMENTS


async def test_the_first_plan_waits_for_the_person_and_later_ones_do_not():
    desk = Desk(needs_approval=True)
    waiting = await desk.write({"text": "Find it", "phase": "gather"})
    assert isinstance(waiting, Waiting)
    assert waiting.waiting_for is WaitingFor.APPROVAL
    assert waiting.prompt == "gather:\n1. (todo) Find it"
    assert await desk.notebook.plan() == ()
    approved = await desk.write({"text": "Find it twice", "phase": "gather"}, decision=Decision.APPROVED)
    assert isinstance(approved, ToolResult)
    assert "approved" in approved.for_model
    assert [line.text for line in await desk.notebook.plan()] == ["Find it twice"]
    assert isinstance(await desk.write({"text": "Next"}), ToolResult)


async def test_a_plan_that_is_not_approved_is_not_kept_and_another_waits_again():
    desk = Desk(needs_approval=True)
    refused = await desk.write({"text": "Find it"}, decision=Decision.REFUSED)
    assert isinstance(refused, ToolResult)
    assert refused.fault is Fault.REFUSED
    assert "Too long." in refused.for_model
    assert await desk.notebook.plan() == ()
    assert isinstance(await desk.write({"text": "Find it"}), Waiting)


@pytest.mark.parametrize("tool", [Plan, Remember, Recall, Rollback])
def test_what_models_are_told_of_a_tool_is_short_and_has_an_example(tool):
    """It is part of the prompt of every request."""
    assert quarters(tool.spec.description) <= 120
    assert "Example" in tool.spec.description
    assert quarters(json.dumps(tool.spec.parameters)) <= 160
