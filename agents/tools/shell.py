"""A shell command in the sandbox, in the same work folder as the turn's Python."""

from collections.abc import Mapping
from typing import Any

from agents.sandbox.sessions import SandboxFailed
from agents.sandbox.turn_sandbox import TurnSandbox
from agents.tool import Effect, Fault, ToolContext, ToolResult, Traits, Trust
from agents.tools import sandbox_report
from agents.tools.sandbox_report import DEFAULT_TIMEOUT_S, LONGEST_TIMEOUT_S
from inference.schema import ToolSpec

DESCRIPTION = """\
Run a command with /bin/sh in the sandbox, in the folder that run_python works in: for tests, scripts and the
usual Unix programs. Each call is a new shell: only files stay. There is no network. Example: {"command":
"python3 -m unittest -q 2>&1 | tail -20"}"""


class Shell:
    spec = ToolSpec(
        name="shell",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "command": {"type": "string", "minLength": 1, "maxLength": 100_000},
                "timeout_s": {
                    "type": "integer",
                    "description": f"Seconds until it is stopped; {DEFAULT_TIMEOUT_S} by default.",
                    "minimum": 1,
                    "maximum": LONGEST_TIMEOUT_S,
                },
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    )
    traits = Traits(effect=Effect.LOCAL, trust=Trust.USER, timeout_s=LONGEST_TIMEOUT_S + 60.0)

    def __init__(self, sandbox: TurnSandbox) -> None:
        self._sandbox = sandbox

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return sandbox_report.RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        wall_s = float(arguments.get("timeout_s", DEFAULT_TIMEOUT_S))
        try:
            outcome = await self._sandbox.shell(arguments["command"], wall_s=wall_s, step=context.step)
        except SandboxFailed as fault:
            return ToolResult(for_model=str(fault), is_error=True, fault=Fault.FAILED)
        return sandbox_report.result(outcome, wall_s=wall_s, read=self._sandbox.read)
