"""The numbers by which an answer cites what the turn's tools found."""

import re
from dataclasses import replace
from urllib.parse import SplitResult, urlsplit

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


def host_of(source: str) -> str:
    """Of a page; empty for what has none, such as a file, and for an address that is none."""
    return _parts(source).netloc


def is_page(source: str) -> bool:
    return _parts(source).scheme in {"http", "https"}


def _parts(source: str) -> SplitResult:
    """Search engines and tool servers say sources as they like."""
    try:
        return urlsplit(source)
    except ValueError:
        return urlsplit("")
