"""The plan of a turn: written by the model, seen and changed by the person."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from agents.happenings import PlanChanged, PlanLine
from agents.notebook import HOW_TO_NAME, Notebook, plan_lines, unknown_names
from agents.tool import Decision, Effect, Fault, ToolContext, ToolResult, Traits, Waiting, WaitingFor
from inference.schema import ToolSpec

MAX_LINES = 60

DESCRIPTION = """\
Write the plan of this task, or write it anew after each change: always all lines, in order. Plan before work
of more than a few steps, in phases (gather, analyse, write, verify); mark one line "doing", then "done" with
the ids of its evidence, or "dropped". Example: {"lines": [{"phase": "gather", "text": "Find the length",
"status": "done", "evidence": ["functions.search:0"]}, {"phase": "verify", "text": "Hypothesis: it has
not changed since"}]}"""


class Plan:
    """With `needs_approval` the first plan waits for the person, who may change it."""

    spec = ToolSpec(
        name="plan",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "lines": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_LINES,
                    "items": {
                        "type": "object",
                        "properties": {
                            "text": {"type": "string", "minLength": 1, "maxLength": 500},
                            "phase": {"type": "string", "maxLength": 80},
                            "status": {"enum": ["todo", "doing", "done", "dropped"]},
                            "evidence": {
                                "type": "array",
                                "items": {"type": "string", "minLength": 1, "maxLength": 128},
                                "maxItems": 20,
                            },
                        },
                        "required": ["text"],
                        "additionalProperties": False,
                    },
                }
            },
            "required": ["lines"],
            "additionalProperties": False,
        },
    )
    traits = Traits(effect=Effect.LOCAL, is_idempotent=True)

    def __init__(self, notebook: Notebook, *, needs_approval: bool = False) -> None:
        self._notebook = notebook
        self._needs_approval = needs_approval

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | Waiting:
        lines = [PlanLine(**line) for line in arguments["lines"]]
        if unknown := await unknown_names(self._notebook, [name for line in lines for name in line.evidence]):
            text = f"Not saved: there is no {', '.join(unknown)}. {HOW_TO_NAME}"
            return ToolResult(for_model=text, is_error=True, fault=Fault.BAD_ARGUMENTS)
        if self._needs_approval and not await self._notebook.plan():
            is_approved = context.decided is not None and context.decided.decision is Decision.APPROVED
            if not is_approved:
                return Waiting(waiting_for=WaitingFor.APPROVAL, prompt=plan_lines(lines))
            return await self._write(lines, context, "Saved: the person approved this plan. Follow it.")
        return await self._write(lines, context, f"Saved: {_counted(lines)}.")

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({"plan"})

    async def _write(self, lines: Sequence[PlanLine], context: ToolContext, text: str) -> ToolResult:
        await self._notebook.write_plan(lines)
        changed = PlanChanged(step=context.step, items=list(lines))
        return ToolResult(for_model=text, for_user=plan_lines(lines), happenings=(changed,))


def _counted(lines: Sequence[PlanLine]) -> str:
    counts = Counter(line.status for line in lines)
    return ", ".join(f"{count} {status}" for status, count in counts.items())
