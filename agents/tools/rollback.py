"""Going back to an earlier step of the turn with a lesson, and the files of the turn with it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agents.happenings import PlanLine
from agents.notebook import Notebook
from agents.tool import Effect, Fault, NewNote, ToolContext, ToolResult, Traits
from agents.transcript import NoteKind
from inference.schema import ToolCall, ToolSpec

MAX_IN_A_PHASE = 3

DESCRIPTION = """\
Go back when what you built on turns out wrong: everything after the given call leaves your context, its facts
and file changes with it, and your lesson stays. Name the last call you still trust; "" goes back to the
start. At most 3 times in a phase of the plan. Example: {"to_call": "functions.search:38", "lesson": "The
figure of page 2 is for 1990; use the 2020 table."}"""


class Files(Protocol):
    async def go_back(self, to_step: int, *, at_step: int) -> str:
        """Bring the files back to how they were after `to_step`; the name of what was restored, or the empty
        string where there were none. Doing it again changes nothing more."""
        ...


class Rollback:
    """`files` are the turn's work files, where it has any."""

    spec = ToolSpec(
        name="rollback",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "to_call": {"type": "string", "maxLength": 128},
                "lesson": {"type": "string", "minLength": 1, "maxLength": 1_000},
            },
            "required": ["to_call", "lesson"],
            "additionalProperties": False,
        },
    )
    traits = Traits(effect=Effect.LOCAL, is_idempotent=True)

    def __init__(self, notebook: Notebook, files: Files | None = None) -> None:
        self._notebook = notebook
        self._files = files

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        to_call = arguments["to_call"].strip()
        to_step = await self._notebook.step_of(to_call) if to_call else 0
        if to_step is None:
            return _refused(f"There is no call {to_call!r} to go back to.")
        if to_step >= context.step:
            return _refused("Name a call of an earlier step.")
        phase = phase_of(await self._notebook.plan())
        before = [rollback for rollback in await self._notebook.rollbacks() if rollback.phase == phase]
        if len(before) >= MAX_IN_A_PHASE:
            return _refused("You went back three times in this phase already: go on from here.")
        effects = await self._notebook.effects_after(to_step)
        snapshot = await self._files.go_back(to_step, at_step=context.step) if self._files else ""
        lesson = _lesson(arguments["lesson"], to_call, effects)
        data = {"to_step": to_step, "snapshot": snapshot, "phase": phase}
        note = NewNote(kind=NoteKind.ROLLBACK.value, text=lesson, data=data)
        return ToolResult(for_model="Gone back.", for_user=lesson, notes=(note,))

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({"plan", "files"})


def phase_of(plan: Sequence[PlanLine]) -> str:
    """The phase that the plan is in: of what is under way, else of what comes next."""
    for status in ("doing", "todo"):
        for line in plan:
            if line.status == status:
                return line.phase
    return plan[-1].phase if plan else ""


def _lesson(lesson: str, to_call: str, effects: Sequence[ToolCall]) -> str:
    place = f"to where you stood after {to_call}" if to_call else "to the start"
    text = f"You went back {place}. Your lesson: {lesson}"
    if effects:
        calls = "; ".join(f"{call.name}({call.arguments[:200]})" for call in effects)
        text += f"\nThese calls changed the world outside, or may have, and are not undone: {calls}"
    return text


def _refused(text: str) -> ToolResult:
    return ToolResult(for_model=text, is_error=True, fault=Fault.BAD_ARGUMENTS)
