"""Going back to an earlier step with a lesson."""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents import context
from agents.happenings import NoteAdded, PlanLine
from agents.notebook import InMemoryNotebook
from agents.tool import Fault, Tool, ToolContext, ToolResult, Traits
from agents.tooling.toolset import Toolset
from agents.tools.rollback import Rollback
from agents.transcript import Note, NoteKind
from agents.workspace import Workspace
from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    Role,
    ToolCallDelta,
    ToolSpec,
)
from tests.agents.stage import WIDE, Stage
from tests.agents.transcripts import Story


class Desk:
    def __init__(self, num_steps: int = 5) -> None:
        self.story = Story()
        for number in range(1, num_steps + 1):
            self.story.step(f"result {number}")
        self.notebook = InMemoryNotebook(self.story.transcript, external=frozenset({"post"}))

    async def go_back(self, to_call: str, lesson: str = "Look elsewhere.") -> ToolResult:
        """Call the tool in a further step, and keep what it brings as the loop does."""
        arguments = {"to_call": to_call, "lesson": lesson}
        record = self.story.step(None, call="rollback {}").calls[0]
        context_of_call = ToolContext(key=record.key, step=self.story.last)
        record.result = await Rollback(self.notebook).run(arguments, context_of_call)
        for new in record.result.notes:
            kind, data = NoteKind(new.kind), dict(new.data)
            self.story.transcript.notes.append(
                Note(step=self.story.last, kind=kind, text=new.text, data=data)
            )
        return record.result


async def test_the_view_is_that_of_the_call_and_the_lesson():
    desk = Desk(num_steps=3)
    before = context.view(desk.story.transcript)
    desk.story.step("wrong")
    assert not (await desk.go_back("functions.search:2")).is_error
    after = context.view(desk.story.transcript)
    assert after[:-1] == before
    assert after[-1].content == (
        "[Platform] You went back to where you stood after functions.search:2. Your lesson: Look elsewhere."
    )


async def test_an_empty_name_goes_back_to_the_start():
    desk = Desk()
    await desk.go_back("")
    assert len(context.view(desk.story.transcript)) == 3


async def test_only_a_call_that_the_model_stands_by_can_be_gone_back_to():
    desk = Desk()
    for name in ("functions.search:99", "nonsense", "functions.rollback:7"):
        assert (await desk.go_back(name)).fault is Fault.BAD_ARGUMENTS
    await desk.go_back("functions.search:1")
    assert (await desk.go_back("functions.search:3")).fault is Fault.BAD_ARGUMENTS


async def test_a_phase_of_the_plan_allows_three():
    desk = Desk()
    await desk.notebook.write_plan([PlanLine(text="a", phase="gather", status="doing")])
    for _ in range(3):
        assert not (await desk.go_back("functions.search:0")).is_error
    assert "three times in this phase" in (await desk.go_back("functions.search:0")).for_model
    done = PlanLine(text="a", phase="gather", status="done")
    await desk.notebook.write_plan([done, PlanLine(text="b", phase="verify")])
    assert not (await desk.go_back("functions.search:0")).is_error


async def test_effects_outside_are_named_since_they_stay():
    desk = Desk()
    desk.story.step("sent", call='post {"to": "alice"}')
    await desk.go_back("functions.search:0")
    assert 'not undone: post({"to": "alice"})' in context.view(desk.story.transcript)[-1].content


# ---- through the loop


class Gauge:
    """Measures, and writes what it measured to the work files. Its 40th measurement is wrong, once."""

    spec = ToolSpec(name="gauge", description="Measure.", parameters={"type": "object"})
    traits = Traits()

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.has_failed = False

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        place = arguments["place"]
        is_wrong = place == 40 and not self.has_failed
        self.has_failed = self.has_failed or is_wrong
        value = -1 if is_wrong else place * 10
        table = self._workspace.files / "table.csv"
        lines = table.read_text() if table.exists() else ""
        table.write_text(f"{lines}{place},{value}\n")
        self._workspace.take(context.step)
        return ToolResult(for_model=f"place {place}: {value}")


class Surveyor:
    """A model that measures 45 places, looks over what its request holds, and goes back when a value is
    negative."""

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self.requests.append(request)
        results = [message for message in request.messages if message.role is Role.TOOL]
        wrong = next((at for at, message in enumerate(results) if "-1" in message.content), None)
        if len(results) < 45:
            yield _call("gauge", place=len(results) + 1)
        elif wrong is not None:
            yield _call("rollback", to_call=results[wrong - 1].tool_call_id, lesson="Place 40 was misread.")
        else:
            yield ContentDelta("All 45 are right.")
        called = len(results) < 45 or wrong is not None
        yield Finished(reason=FinishReason.TOOL_CALLS if called else FinishReason.STOP)

    async def is_ready(self) -> bool:
        return True

    async def aclose(self) -> None:
        """Nothing is held open."""


def _call(name: str, **arguments: Any) -> ToolCallDelta:
    return ToolCallDelta(index=0, id="x", name=name, arguments=json.dumps(arguments))


async def test_a_wrong_result_of_step_40_found_at_45_is_undone_in_view_and_files(tmp_path: Path):
    workspace, surveyor = Workspace(tmp_path), Surveyor()
    stage = Stage(backend=surveyor, limits=replace(WIDE, max_steps=100))
    notebook = InMemoryNotebook(stage.progress.transcript)
    tools: list[Tool] = [Gauge(workspace), Rollback(notebook, workspace)]
    stage.setting = replace(stage.setting, toolset=Toolset(tools), notebook=notebook)
    await stage.drive(max_steps=46)
    step_40, after = surveyor.requests[39], context.view(stage.progress.transcript)
    assert after[:-1] == step_40.messages, "what the model read before step 40"
    assert "Place 40 was misread." in after[-1].content
    places = [line.partition(",")[0] for line in (workspace.files / "table.csv").read_text().splitlines()]
    assert places == [str(place) for place in range(1, 40)]
    await stage.drive()
    assert stage.kept.replies[-1].content == "All 45 are right."
    assert "40,400\n" in (workspace.files / "table.csv").read_text()
    assert [note.kind for note in stage.heard.happened_of(NoteAdded)] == ["rollback"]
    assert len(stage.kept.replies) == 46 + 6 + 1, "the history stays"
