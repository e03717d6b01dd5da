"""The numbers by which an answer cites what the turn's tools found."""

import re
from dataclasses import replace

from agents.tool import ToolResult

_MARK = re.compile(r"⟦(\d{1,4})⟧")


def numbered(result: ToolResult, *, first: int) -> ToolResult:
    """The result with ⟦0⟧, ⟦1⟧ ... made [7], [8] ..., where its first passage is number 7 of the turn. A mark
    that stands for no passage is left as it is: a page may hold one."""
    if not result.passages:
        return result

    def number(mark: re.Match[str]) -> str:
        index = int(mark[1])
        return f"[{first + index}]" if index < len(result.passages) else mark[0]

    return replace(
        result, for_model=_MARK.sub(number, result.for_model), for_user=_MARK.sub(number, result.for_user)
    )
