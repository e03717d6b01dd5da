"""What files there are, and where in them something stands."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from agents.tool import Fault, ToolContext, ToolResult, Trust
from agents.tools.files import acting, globs, searching
from agents.tools.files.searching import Asked, Found, TakesTooLong
from agents.workspace import TurnFiles, WorkFile

MAX_LISTED = 300


class SearchFiles:
    spec = acting.spec(
        "search_files",
        """List the files of the work folder; with `pattern` (a Python regular expression, held against each
        line) the lines where it is found. Examples: {"glob": "**/*.py"}, {"pattern": "def \\\\w+_total",
        "glob": "src/**"}""",
        {},
        glob={"type": "string", "minLength": 1, "maxLength": 500},
        pattern={"type": "string", "minLength": 1, "maxLength": 1_000},
    )
    traits = acting.TRAITS

    def __init__(self, files: TurnFiles) -> None:
        self._files = files

    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        return acting.RESOURCES

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        workspace = await self._files.workspace()
        glob = arguments.get("glob", globs.ANY_FOLDERS)
        every = await asyncio.to_thread(workspace.folder.files)
        files = [file for file in every if globs.matches(file.path, glob)]
        if not files:
            said = f"No file matches {glob} ({len(every)} files in all)." if every else "There are no files."
            return ToolResult(for_model=said, found_nothing=True)
        if "pattern" not in arguments:
            return ToolResult(for_model=_listed(files))
        asked = Asked(
            folder=str(workspace.files), paths=[file.path for file in files], pattern=arguments["pattern"]
        )
        try:
            return _told(await searching.search(asked), num_files=len(files))
        except TakesTooLong:
            return ToolResult(
                for_model="The search took too long and was stopped: use a simpler pattern, or fewer files.",
                is_error=True,
                fault=Fault.TIMEOUT,
            )


def _listed(files: Sequence[WorkFile]) -> str:
    lines = [f"{file.path} ({file.num_bytes} bytes)" for file in files[:MAX_LISTED]]
    if len(files) > MAX_LISTED:
        lines.append(f"[and {len(files) - MAX_LISTED} more: use a narrower glob]")
    return "\n".join(lines)


def _told(found: Found, *, num_files: int) -> ToolResult:
    if found.fault:
        said = f"The pattern is no regular expression: {found.fault}."
        return ToolResult(for_model=said, is_error=True, fault=Fault.BAD_ARGUMENTS)
    lines = [f"{path}:{number}: {line}" for path, number, line in found.lines]
    if not lines:
        lines.append(f"Not found in {num_files} files.")
    if found.is_cut:
        lines.append(f"[only the first {len(found.lines)} places are shown]")
    if found.num_skipped:
        lines.append(f"[{found.num_skipped} files were not searched: they are binary or too large]")
    is_theirs = any(acting.is_theirs(path) for path, _, _ in found.lines)
    return ToolResult(
        for_model="\n".join(lines),
        found_nothing=not found.lines,
        trust=Trust.DOCUMENT if is_theirs else Trust.OPERATOR,
    )
