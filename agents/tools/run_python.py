"""Python in the sandbox, which keeps its variables from call to call."""

from collections.abc import Mapping
from typing import Any

from agents.sandbox.sessions import SandboxFailed
from agents.sandbox.turn_sandbox import TurnSandbox
from agents.tool import Effect, Fault, ToolContext, ToolResult, Traits, Trust
from agents.tools import sandbox_report
from agents.tools.sandbox_report import DEFAULT_TIMEOUT_S, LONGEST_TIMEOUT_S
from inference.schema import ToolSpec

DESCRIPTION = """\
Run Python 3 in a sandbox. Variables, imports and functions stay from call to call, like in a notebook; the
value of the last expression is shown, so print() is rarely needed. The current folder holds your files: those
you write there stay and are given to the user. Open matplotlib figures are saved as PNG files. There is no
network and no input(); what the code leaves running ends with the call. {packages} Example: {{"code":
"total = sum(range(10))\\ntotal"}}"""
WITH_PACKAGES = "Besides the standard library there are {}."
WITHOUT_PACKAGES = "There is the standard library only; nothing can be installed."
LOST = (
    "[The variables and imports of earlier calls are gone: the Python that held them has ended. Files are "
    "still there.]"
)


def spec(packages: str) -> ToolSpec:
    """`packages` names what there is besides the standard library; empty: nothing."""
    told = WITH_PACKAGES.format(packages) if packages else WITHOUT_PACKAGES
    return ToolSpec(
        name="run_python",
        description=" ".join(DESCRIPTION.format(packages=told).split()),
        parameters={
            "type": "object",
            "properties": {
                "code": {"type": "string", "minLength": 1, "maxLength": 200_000},
                "timeout_s": {
                    "type": "integer",
                    "description": f"Seconds until it is stopped; {DEFAULT_TIMEOUT_S} by default.",
                    "minimum": 1,
                    "maximum": LONGEST_TIMEOUT_S,
                },
            },
            "required": ["code"],
            "additionalProperties": False,
        },
    )


class RunPython:
    traits = Traits(effect=Effect.LOCAL, trust=Trust.USER, timeout_s=LONGEST_TIMEOUT_S + 60.0)

    def __init__(self, sandbox: TurnSandbox, *, packages: str) -> None:
        self.spec = spec(packages)
        self._sandbox = sandbox

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return sandbox_report.RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        wall_s = float(arguments.get("timeout_s", DEFAULT_TIMEOUT_S))
        try:
            outcome, has_lost = await self._sandbox.python(
                arguments["code"], wall_s=wall_s, step=context.step
            )
        except SandboxFailed as fault:
            return ToolResult(for_model=str(fault), is_error=True, fault=Fault.FAILED)
        first = LOST if has_lost else ""
        return sandbox_report.result(
            outcome, wall_s=wall_s, read=self._sandbox.read, first=first, keeps_variables=True
        )
