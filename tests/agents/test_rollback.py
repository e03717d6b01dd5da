"""Going back to an earlier step with a lesson."""

from agents import context
from agents.happenings import PlanLine
from agents.notebook import InMemoryNotebook
from agents.tool import Fault, ToolContext, ToolResult
from agents.tools.rollback import Rollback
from agents.transcript import Note, NoteKind
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
