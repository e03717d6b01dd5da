"""Reading a file of the work folder, by lines."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from agents.tool import ToolContext, ToolResult
from agents.tools.files import acting, text
from agents.tools.files.acting import Look
from agents.workspace import TurnFiles, WorkFolder

LINES = 400
MAX_CHARS = 24_000
LINE_CHARS = 2_000


class ReadFile:
    spec = acting.spec(
        "read_file",
        """Read a text file of the work folder with line numbers (they are not part of it). Long files come in
        pieces. Example: {"path": "src/app.py", "start_line": 120}""",
        {"path": acting.PATH},
        start_line={"type": "integer", "minimum": 1},
        num_lines={"type": "integer", "minimum": 1, "maximum": 2_000},
    )
    traits = acting.TRAITS

    def __init__(self, files: TurnFiles) -> None:
        self._files = files

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return acting.RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        first, num_lines = arguments.get("start_line", 1), arguments.get("num_lines", LINES)
        path = arguments["path"]
        return await acting.looked(self._files, partial(_read, path=path, first=first, num_lines=num_lines))


def _read(folder: WorkFolder, *, path: str, first: int, num_lines: int) -> Look:
    about = folder.about(path)
    found = text.read(folder, path)
    lines = found.text.splitlines()
    if not lines:
        return Look(f"{about.path} is empty.", found_nothing=True)
    if first > len(lines):
        raise acting.Refused(f"{about.path} has {len(lines)} lines only.")
    shown = _within(lines[first - 1 : first - 1 + num_lines])
    last = first + len(shown) - 1
    notes = [] if found.encoding == "utf-8" else [f"written in {found.encoding}"]
    if (first, last) != (1, len(lines)):
        notes.append(f"lines {first} to {last} of {len(lines)}")
    note = f"\n[{about.path}: {', '.join(notes)}]" if notes else ""
    return Look(f"{text.numbered(shown, first)}{note}", is_theirs=acting.is_theirs(about.path))


def _within(lines: list[str]) -> list[str]:
    """As many of them as fit, long ones cut."""
    kept: list[str] = []
    left = MAX_CHARS
    for line in lines:
        cut = len(line) - LINE_CHARS
        kept.append(line if cut <= 0 else f"{line[:LINE_CHARS]} [and {cut} characters more]")
        left -= len(kept[-1]) + 7
        if left < 0:
            break
    return kept
