"""Changing a part of a file: one text for another, word for word."""

from collections.abc import Mapping
from typing import Any

from agents.tool import ToolContext, ToolResult
from agents.tools.files import acting, text
from agents.tools.files.acting import Refused
from agents.tools.files.text import FileText
from agents.workspace import Change, TurnFiles, WorkFolder
from agents.workspace.folder import clean

MAX_PLACES = 10
SHOWN_AROUND = 2
MAX_SHOWN = 30


class EditFile:
    spec = acting.spec(
        "edit_file",
        """Replace text of a file of the work folder: `old` must be in it exactly once, white space and all
        (give some lines around it), unless replace_all. Example: {"path": "app.py", "old": "x = 1\\n", "new":
        "x = 2\\n"}""",
        {
            "path": acting.PATH,
            "old": {"type": "string", "minLength": 1, "maxLength": 200_000},
            "new": {"type": "string", "maxLength": 200_000},
        },
        replace_all={"type": "boolean"},
    )
    traits = acting.TRAITS

    def __init__(self, files: TurnFiles) -> None:
        self._files = files

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return acting.RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        def edit(folder: WorkFolder) -> Change:
            path = clean(arguments["path"])
            found = text.read(folder, path)
            old, new = found.fitted(arguments["old"]), found.fitted(arguments["new"])
            places = _places(found, old, new, path, takes_all=arguments.get("replace_all", False))
            after = found.with_text(found.text.replace(old, new))
            return Change(_told(path, after.text, places, new), {path: after.encoded(path)})

        return await acting.changed(self._files, context, edit, is_theirs=acting.is_theirs(arguments["path"]))


def _places(found: FileText, old: str, new: str, path: str, *, takes_all: bool) -> list[int]:
    """Where the old text begins. Raises Refused where it is not to be replaced."""
    if old == new:
        raise Refused("old and new are the same.")
    places = _all(found.text, old)
    if not places:
        raise Refused(f"{path} has no such text.{_there(found.text, new)}{text.near(found.text, old)}")
    if len(places) > 1 and not takes_all:
        lines = ", ".join(str(text.line_of(found.text, place)) for place in places[:MAX_PLACES])
        more = f" and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
        raise Refused(
            f"{path} has it {len(places)} times (lines {lines}{more}): give more of the lines around it, or "
            "set replace_all."
        )
    return places


def _all(whole: str, part: str) -> list[int]:
    places, at = [], whole.find(part)
    while at >= 0:
        places.append(at)
        at = whole.find(part, at + len(part))
    return places


def _there(whole: str, new: str) -> str:
    """That the new text is there already, where it says enough to be found."""
    at = whole.find(new) if len(new.strip()) > 2 else -1
    return f" The new text is there already, at line {text.line_of(whole, at)}." if at >= 0 else ""


def _told(path: str, after: str, places: list[int], new: str) -> str:
    if len(places) > 1:
        return f"Replaced in {path}, {len(places)} times."
    first = text.line_of(after, places[0])
    last = first + new.count("\n")
    lines = after.splitlines()
    start, end = max(first - SHOWN_AROUND, 1), min(last + SHOWN_AROUND, first + MAX_SHOWN, len(lines))
    shown = [line[:200] for line in lines[start - 1 : end]]
    return f"Replaced in {path}. It reads now:\n{text.numbered(shown, start)}"
