"""The tools of a work folder, at one desk, as a turn has them."""

import itertools
from pathlib import Path
from typing import Any

from agents.sandbox.turn_sandbox import Pool, TurnSandbox
from agents.tool import Tool, ToolContext, ToolResult
from agents.tools.files.apply_patch import ApplyPatch
from agents.tools.files.edit_file import EditFile
from agents.tools.files.read_file import ReadFile
from agents.tools.files.rename_symbol import RenameSymbol
from agents.tools.files.search_files import SearchFiles
from agents.tools.files.write_file import WriteFile
from agents.tools.run_tests import RunTests
from agents.workspace import Workspace, at_hand


class Desk:
    """Each call is one of a step of its own, unless it is given the key of another."""

    def __init__(self, root: Path, pool: Pool | None = None) -> None:
        self.workspace = Workspace(root)
        self.root = self.workspace.files
        files = at_hand(self.workspace)
        tools: list[Tool] = [tool(files) for tool in (ReadFile, WriteFile, EditFile, SearchFiles, ApplyPatch)]
        if pool is not None:
            sandbox = TurnSandbox(pool, str(root), files)
            tools += [RunTests(sandbox), RenameSymbol(sandbox)]
        self._tools = {tool.spec.name: tool for tool in tools}
        self._steps = itertools.count(1)

    async def call(self, tool: str, /, *, key: str = "", **arguments: Any) -> ToolResult:
        step = next(self._steps)
        result = await self._tools[tool].run(arguments, ToolContext(key=key or f"turn.{step}.0", step=step))
        assert isinstance(result, ToolResult)
        return result

    async def says(self, tool: str, /, **arguments: Any) -> str:
        """What a call that goes well says."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, result.for_model
        return result.for_model

    async def refuses(self, tool: str, /, **arguments: Any) -> str:
        """What is said of a call that cannot be: nothing has changed."""
        before = self.tree()
        result = await self.call(tool, **arguments)
        assert result.is_error, result.for_model
        assert self.tree() == before
        return result.for_model

    def write(self, **files: str | bytes) -> None:
        """`a__b_py=text` writes a/b.py."""
        for name, text in files.items():
            path = self.root / name.replace("__", "/").replace("_py", ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def tree(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }
