"""Running the tests of the work folder, and saying in few words what failed and where."""

import json
import secrets
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from agents.sandbox.cell import PYTHON
from agents.sandbox.sessions import Outcome, SandboxFailed
from agents.sandbox.turn_sandbox import TurnSandbox
from agents.sandbox.watching import Ending
from agents.tool import Effect, Fault, ToolContext, ToolResult, ToolUsage, Traits, Trust
from agents.tools import sandbox_report
from agents.workspace import BadPath
from agents.workspace.folder import clean
from inference.schema import ToolSpec

DEFAULT_TIMEOUT_S = 60
LONGEST_TIMEOUT_S = 300
TRACE_LINES = 40
ALSO_SHOWN = 15
NO_TESTS, BAD_USE = 5, 4
WHOLE = (".", "./", "/workspace", "/workspace/")
ORDER = ("failed", "errors", "passed", "skipped", "xfailed", "xpassed")

DESCRIPTION = """\
Run the tests of the work folder with pytest (unittest's too) in the sandbox: which failed, where and why.
`path` is a file, a folder or one test, `only` a part of names as of pytest -k. Examples: {}, {"path":
"tests/test_order.py::test_total"}"""


class Failed(msgspec.Struct):
    test: str
    path: str = ""
    line: int = 0
    message: str = ""
    text: str = ""
    printed: str = ""


class Report(msgspec.Struct):
    status: int = -1
    counts: dict[str, int] = {}
    failed: list[Failed] = []
    running: str = ""


class RunTests:
    spec = ToolSpec(
        name="run_tests",
        description=" ".join(DESCRIPTION.split()),
        parameters={
            "type": "object",
            "properties": {
                "path": {"type": "string", "minLength": 1, "maxLength": 1_000},
                "only": {"type": "string", "maxLength": 300},
                "timeout_s": {"type": "integer", "minimum": 1, "maximum": LONGEST_TIMEOUT_S},
            },
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
        mark = secrets.token_hex(8)
        try:
            request = {"path": _target(arguments.get("path", ".")), "only": arguments.get("only", "")}
            words = (PYTHON, "-I", "-c", _program(), mark, json.dumps(request))
            outcome = await self._sandbox.shell(shlex.join(words), wall_s=wall_s, step=context.step)
        except BadPath as fault:
            return ToolResult(for_model=str(fault), is_error=True, fault=Fault.BAD_ARGUMENTS)
        except SandboxFailed as fault:
            return ToolResult(for_model=str(fault), is_error=True, fault=Fault.FAILED)
        return _result(outcome, mark, path=request["path"], wall_s=wall_s)


@cache
def _program() -> str:
    return (Path(__file__).with_name("tests_inside.py")).read_text(encoding="utf-8")


def _target(path: str) -> str:
    """A path in the folder, maybe with the name of a test behind it. Raises BadPath."""
    if path in WHOLE:
        return "."
    file, colons, test = path.partition("::")
    return f"{clean(file.rstrip('/'))}{colons}{test}"


def _result(outcome: Outcome, mark: str, *, path: str, wall_s: float) -> ToolResult:
    report = _reported(outcome.output, mark)
    usage = ToolUsage(sandbox_ms=outcome.wall_ms)
    if report.status < 0:
        return _cut_short(outcome, report, mark, wall_s=wall_s, usage=usage)
    if report.status == NO_TESTS and not report.counts:
        said = f"No tests were found in {path}: they are functions test_* or classes Test* in test_*.py."
        return ToolResult(for_model=said, found_nothing=True, usage=usage)
    if report.status == BAD_USE and not report.failed:
        said = _printed(outcome.output, mark)[-1_000:] or f"pytest cannot run {path}."
        return ToolResult(for_model=said, is_error=True, fault=Fault.BAD_ARGUMENTS, usage=usage)
    return ToolResult(for_model=_told(report), usage=usage)


def _told(report: Report) -> str:
    counts = ", ".join(f"{report.counts[kind]} {kind}" for kind in ORDER if report.counts.get(kind))
    parts = [counts or "Nothing was run."]
    if report.failed:
        first, *others = report.failed
        parts.append(f"First: {_named(first)}\n{_trace(first.text)}")
        if first.printed.strip():
            parts.append(f"It printed:\n{first.printed.strip()}")
        parts += [f"Also: {_named(other)}: {other.message}" for other in others[:ALSO_SHOWN]]
        if len(others) > ALSO_SHOWN:
            parts.append(f"[and {len(others) - ALSO_SHOWN} more]")
    return "\n".join(parts)


def _named(failed: Failed) -> str:
    return f"{failed.test} ({failed.path}:{failed.line})" if failed.line else failed.test


def _trace(text: str) -> str:
    lines = text.strip().splitlines()
    cut = len(lines) - TRACE_LINES
    return "\n".join(lines if cut <= 0 else [*lines[:4], f"[{cut} lines left out]", *lines[4 + cut :]])


def _cut_short(outcome: Outcome, report: Report, mark: str, *, wall_s: float, usage: ToolUsage) -> ToolResult:
    """pytest did not come to its end."""
    at = f" while {report.running} ran" if report.running else ""
    if outcome.ending is Ending.TIMEOUT:
        said = f"The tests were stopped after {wall_s:.0f} seconds{at}."
        return ToolResult(for_model=said, is_error=True, fault=Fault.TIMEOUT, usage=usage)
    why = "" if outcome.ending is Ending.DONE else f" ({outcome.ending})"
    said = f"Python ended{at}{why} before the tests did.\n{_printed(outcome.output, mark)[-2_000:]}".strip()
    return ToolResult(for_model=said, is_error=True, fault=Fault.FAILED, usage=usage)


def _reported(output: str, mark: str) -> Report:
    """The last report, else the last test that was begun."""
    last = Report()
    for line in output.splitlines():
        if line.startswith(mark):
            try:
                last = msgspec.json.decode(line.removeprefix(mark), type=Report)
            except msgspec.DecodeError:
                continue
    return last


def _printed(output: str, mark: str) -> str:
    return "\n".join(line for line in output.splitlines() if line and not line.startswith(mark))
