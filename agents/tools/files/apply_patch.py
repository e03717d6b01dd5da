"""Changing several files at once by a unified diff: all of it, or nothing."""

from collections.abc import Mapping
from typing import Any

from agents.tool import ToolContext, ToolResult
from agents.tools.files import acting, text, unified_diff
from agents.tools.files.acting import Refused
from agents.tools.files.text import FileText
from agents.tools.files.unified_diff import FilePatch
from agents.workspace import Change, NoSuchFile, TurnFiles, WorkFolder
from agents.workspace.folder import clean

MAX_FILES = 200


class ApplyPatch:
    spec = acting.spec(
        "apply_patch",
        """Change one or several files of the work folder by a unified diff: all of it is applied or nothing.
        /dev/null as a name makes or removes a file. Example: {"patch": "--- a/app.py\\n+++ b/app.py\\n@@ -1,2
        +1,2 @@\\n import os\\n-x = 1\\n+x = 2\\n"}""",
        {"patch": {"type": "string", "minLength": 1, "maxLength": 1_000_000}},
    )
    traits = acting.TRAITS

    def __init__(self, files: TurnFiles) -> None:
        self._files = files

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return acting.RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        def patch(folder: WorkFolder) -> Change:
            patches = unified_diff.parsed(arguments["patch"])
            if len(patches) > MAX_FILES:
                raise Refused(f"A patch may change at most {MAX_FILES} files at once.")
            after: dict[str, bytes | None] = {}
            told = [_patched(folder, one, after) for one in patches]
            return Change("\n".join(told), after)

        is_theirs = acting.is_theirs(arguments["patch"])
        return await acting.changed(self._files, context, patch, is_theirs=is_theirs)


def _patched(folder: WorkFolder, patch: FilePatch, after: dict[str, bytes | None]) -> str:
    """Put what becomes of the file into `after`; what is told of it."""
    counts = " ".join(f"{sign}{sum(hunk.num(sign) for hunk in patch.hunks)}" for sign in "+-")
    if not patch.old:
        path = clean(patch.new)
        if _is_there(folder, path, after):
            raise Refused(f"Nothing was changed: {path} is there already; name it in the --- line, too.")
        after[path] = unified_diff.applied(FileText(""), patch).encoded(path)
        return f"Made: {path} ({counts})"
    old = clean(patch.old)
    found = _as_it_will_be(folder, old, after)
    changed = unified_diff.applied(found, patch)
    if not patch.new:
        after[old] = None
        return f"Removed: {old}"
    new = clean(patch.new)
    if new != old:
        if _is_there(folder, new, after):
            raise Refused(f"Nothing was changed: {new} is there already.")
        after[old] = None
    after[new] = changed.encoded(new)
    return f"Changed: {new} ({counts})" if new == old else f"Changed and renamed: {old} to {new} ({counts})"


def _as_it_will_be(folder: WorkFolder, path: str, after: Mapping[str, bytes | None]) -> FileText:
    if path not in after:
        return text.read(folder, path)
    content = after[path]
    if content is None:
        raise NoSuchFile(f"{path} was taken away by this patch before.")
    return text.decoded(content, path)


def _is_there(folder: WorkFolder, path: str, after: Mapping[str, bytes | None]) -> bool:
    if path in after:
        return after[path] is not None
    try:
        folder.about(path)
    except NoSuchFile:
        return False
    return True
