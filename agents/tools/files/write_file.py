"""Writing a file of the work folder."""

from collections.abc import Mapping
from typing import Any

from agents.tool import ToolContext, ToolResult
from agents.tools.files import acting
from agents.workspace import Change, NoSuchFile, TurnFiles, WorkFolder
from agents.workspace.folder import clean


class WriteFile:
    spec = acting.spec(
        "write_file",
        """Write a whole text file into the work folder, where run_python and shell find it and the user can
        download it; an older one is replaced (to change a part use edit_file). An HTML or SVG file opens in a
        preview without network: use relative files, or import react, react-dom/client, three or
        chart.js/auto. Example: {"path": "src/app.py", "content": "print('hi')\\n"}""",
        {"path": acting.PATH, "content": {"type": "string", "maxLength": 1_000_000}},
    )
    traits = acting.TRAITS

    def __init__(self, files: TurnFiles) -> None:
        self._files = files

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return acting.RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        content = arguments["content"].encode(errors="replace")

        def write(folder: WorkFolder) -> Change:
            path = clean(arguments["path"])
            done = "Replaced" if _is_there(folder, path) else "Written"
            num_lines = len(arguments["content"].splitlines())
            return Change(f"{done}: {path} ({num_lines} lines, {len(content)} bytes)", {path: content})

        return await acting.changed(self._files, context, write)


def _is_there(folder: WorkFolder, path: str) -> bool:
    try:
        folder.about(path)
    except NoSuchFile:
        return False
    return True
