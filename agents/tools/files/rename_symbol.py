"""Renaming what a Python program names, wherever it is used in the work folder."""

import json
import keyword
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from agents.sandbox.cell import PYTHON
from agents.sandbox.sessions import SandboxFailed
from agents.sandbox.turn_sandbox import TurnSandbox
from agents.tool import Fault, ToolContext, ToolResult, ToolUsage
from agents.tools.files import acting, text
from agents.tools.files.acting import Refused
from agents.workspace import Change, NoSuchFile, WorkFolder
from agents.workspace.folder import clean

TIMEOUT_S = 60.0
MAX_LEFT = 10
NAME = {"type": "string", "minLength": 1, "maxLength": 200}


class Answer(msgspec.Struct):
    edits: dict[str, list[tuple[int, int]]] = {}
    fault: str = ""


class RenameSymbol:
    spec = acting.spec(
        "rename_symbol",
        """Rename a Python function, class, method, parameter or variable where it is defined and wherever it
        is used in the work folder, other modules included. `name` as it is defined in `path`: "total",
        "Order.total"; for a local variable give its line, too. Example: {"path": "shop/order.py", "name":
        "Order.total", "new_name": "gross"}""",
        {"path": acting.PATH, "name": NAME, "new_name": NAME},
        line={"type": "integer", "minimum": 1},
    )
    traits = replace(acting.TRAITS, timeout_s=TIMEOUT_S + 60.0)

    def __init__(self, sandbox: TurnSandbox) -> None:
        self._sandbox = sandbox

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return acting.RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        old, new = arguments["name"].rpartition(".")[2], arguments["new_name"]
        is_theirs = acting.is_theirs(arguments["path"])
        answer, sandbox_ms = Answer(), 0
        try:
            path = clean(arguments["path"])
            _check_names(old, new)
            workspace = await self._sandbox.files.workspace()
            if not workspace.has_begun(context.key):
                request = {"path": path, "name": arguments["name"], "new_name": new}
                request["line"] = arguments.get("line")
                answer, sandbox_ms = await self._ask(request, context)
        except acting.REFUSALS as refusal:
            return acting.refused(refusal)
        except SandboxFailed as fault:
            return ToolResult(for_model=str(fault), is_error=True, fault=Fault.FAILED)

        def rename(folder: WorkFolder) -> Change:
            if answer.fault:
                raise Refused(answer.fault)
            return _change(folder, answer, old=old, new=new)

        done = await acting.changed(self._sandbox.files, context, rename, is_theirs=is_theirs)
        return replace(done, usage=ToolUsage(sandbox_ms=sandbox_ms))

    async def _ask(self, request: Mapping[str, Any], context: ToolContext) -> tuple[Answer, int]:
        words = (PYTHON, "-I", "-c", _program(), json.dumps(request))
        outcome = await self._sandbox.shell(shlex.join(words), wall_s=TIMEOUT_S, step=context.step)
        try:
            answer = msgspec.json.decode(outcome.output.strip().rpartition("\n")[2], type=Answer)
        except msgspec.DecodeError as fault:
            said = outcome.output.strip()[-300:] or f"it ended as {outcome.ending}"
            raise Refused(f"Nothing was renamed: {said}. Change the files with edit_file instead.") from fault
        return answer, outcome.wall_ms


@cache
def _program() -> str:
    return Path(__file__).with_name("rename_inside.py").read_text(encoding="utf-8")


def _check_names(old: str, new: str) -> None:
    for name in (old, new):
        if not name.isidentifier() or keyword.iskeyword(name):
            raise Refused(f"{name!r} cannot be a name in Python.")
    if old == new:
        raise Refused("It has that name.")


def _change(folder: WorkFolder, answer: Answer, *, old: str, new: str) -> Change:
    """Built from what the files hold; the answer says no more than where."""
    after: dict[str, bytes | None] = {}
    num_places = 0
    for path, places in answer.edits.items():
        if not places:
            continue
        found = text.read(folder, clean(path))
        after[clean(path)] = found.with_text(_renamed(found.text, places, old, new, path)).encoded(path)
        num_places += len(places)
    if not after:
        raise Refused("The name is used nowhere.")
    listed = ", ".join(sorted(after)[:20]) + (f" and {len(after) - 20} more" if len(after) > 20 else "")
    told = f"Renamed {num_places} times in {len(after)} files: {listed}."
    return Change(told + _left(folder, after, old, new), after)


def _renamed(whole: str, places: list[tuple[int, int]], old: str, new: str, path: str) -> str:
    lines = whole.split("\n")
    for line, column in sorted(places, reverse=True):
        if not 0 < line <= len(lines) or column < 0 or lines[line - 1][column : column + len(old)] != old:
            raise Refused(f"{path} was not understood; change it with edit_file.")
        before = lines[line - 1]
        lines[line - 1] = f"{before[:column]}{new}{before[column + len(old) :]}"
    return "\n".join(lines)


def _left(folder: WorkFolder, after: Mapping[str, bytes | None], old: str, new: str) -> str:
    """Where the old name still stands: in strings and comments, for something else, or where nobody can know
    what it is of."""
    word = re.compile(rf"\b{re.escape(old)}\b")
    places = []
    for file in folder.files():
        if not file.path.endswith(".py"):
            continue
        try:
            content = after.get(file.path)
            found = text.decoded(content, file.path) if content else text.read(folder, file.path)
        except (Refused, NoSuchFile):
            continue
        lines = enumerate(found.text.split("\n"), start=1)
        places += [
            f"{file.path}:{number}: {line.strip()[:120]}" for number, line in lines if word.search(line)
        ]
    if not places:
        return ""
    more = f"\n[and {len(places) - MAX_LEFT} more]" if len(places) > MAX_LEFT else ""
    shown = "\n".join(places[:MAX_LEFT])
    return (
        f" {old} still stands where it is something else, in a text, or of something unknown; see whether it "
        f"should be {new}:\n{shown}{more}"
    )
