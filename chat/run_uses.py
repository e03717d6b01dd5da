"""Which call of a turn works on what another has brought: a page that a search named, a file that it wrote, a
source by its number."""

import json
import re
from collections.abc import Iterator

from agents.reasoning_graph import Graph, NodeKind
from agents.tooling import outgoing
from chat.history import TurnView
from chat.runs import kind_of
from chat.step_views import ToolCallView

WRITERS = ("write_file", "edit_file", "document", "chart", "table", "rename_symbol")
NAME_CHARS = 400  # of a writer's arguments: what it writes comes behind the name
_FILE = re.compile(r"[\w][\w./-]*\.[A-Za-z]\w{0,7}")


def of(view: TurnView, graph: Graph) -> Iterator[tuple[str, str]]:
    """Pairs of calls, the earlier first."""
    brought = _numbered(graph)
    files: dict[str, list[str]] = {}
    for artifact in view.turn.artifacts.all():
        files.setdefault(artifact.call_id, []).append(artifact.name)
    for step in view.steps:
        for call in step.tool_calls:
            for earlier in dict.fromkeys(brought[name] for name in _asked_for(call) if name in brought):
                if earlier != call.id:
                    yield earlier, call.id
            for name in (*_brought(call), *files.get(call.id, ())):
                brought.setdefault(name, call.id)


def _numbered(graph: Graph) -> dict[str, str]:
    calls = {
        edge.source: edge.target.removeprefix("call:")
        for edge in graph.edges
        if edge.target.startswith("call:")
    }
    return {
        f"[{node.data['number']}]": calls[node.id]
        for node in graph.of(NodeKind.EVIDENCE)
        if node.id in calls and "number" in node.data
    }


def _asked_for(call: ToolCallView) -> list[str]:
    """The addresses, files and sources that a call names."""
    names = [outgoing.plain(address) for address in outgoing.urls_of(call.arguments)]
    names += _FILE.findall(call.arguments)
    try:
        source = json.loads(call.arguments or "{}").get("source", "")
    except (ValueError, AttributeError):
        return names
    return [*names, str(source), f"[{str(source).strip('[] ')}]"]


def _brought(call: ToolCallView) -> list[str]:
    """The addresses that its result names, and the file that it wrote."""
    if call.is_error or call.result is None:
        return []
    if call.name in WRITERS:
        return _FILE.findall(call.arguments[:NAME_CHARS])
    return (
        [outgoing.plain(address) for address in outgoing.urls_of(call.result)]
        if kind_of(call.name) == "search"
        else []
    )
