"""The tools that the operator has installed: what Python packages offer under the entry point group
`agents.tools`.

An entry point names a tool, a list of tools, or something to call without arguments that returns either.
"""

import logging
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from agents.tool import Tool, Traits
from agents.tooling.arguments import ArgumentReader
from inference.schema import ToolSpec

logger = logging.getLogger(__name__)

GROUP = "agents.tools"


@cache
def installed() -> tuple[Tool, ...]:
    """Every installed tool that works, in the order of their entry points' names; looked for once a process.
    A broken one is logged and left out."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(tool for point in points for tool in _tools_of(point))


def _tools_of(point: EntryPoint) -> list[Tool]:
    try:
        tools = list(_as_tools(point.load()))
        for tool in tools:
            _check(tool)
    except Exception:
        # Foreign code: whatever is wrong with it, the platform starts without it.
        logger.exception(
            "the tool %s (%s) is left out: correct it or uninstall %s, then restart the Celery workers",
            point.name,
            point.value,
            point.dist.name if point.dist else "its package",
        )
        return []
    return tools


def _as_tools(offered: Any) -> Iterable[Tool]:
    if not _is_tool(offered) and isinstance(offered, Callable):  # type: ignore[arg-type]
        offered = offered()
    if _is_tool(offered):
        return [offered]
    return list(offered)


def _is_tool(offered: Any) -> bool:
    return not isinstance(offered, type) and hasattr(offered, "spec") and hasattr(offered, "run")


def _check(tool: Tool) -> None:
    """Raises TypeError or BadSchema, saying what is wrong."""
    if not isinstance(getattr(tool, "spec", None), ToolSpec):
        raise TypeError(f"{tool!r} has no `spec: ToolSpec`")
    if not isinstance(getattr(tool, "traits", None), Traits):
        raise TypeError(f"{tool.spec.name} has no `traits: Traits`")
    ArgumentReader(tool.spec)
