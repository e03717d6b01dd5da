"""What the picture and the list of a run are made of: nodes in columns, and the edges between them."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Column(IntEnum):
    QUESTION = 0
    WORK = 1
    FOUND = 2
    SAID = 3
    ANSWER = 4


@dataclass(frozen=True, kw_only=True)
class Node:
    """`text` is all that it stands for. A press leads to the `call` in the panel, the source `number` there,
    the agent `agent` or the place in the answer of `step`; a phase opens or closes at its step `first`."""

    id: str
    column: Column
    kind: str
    title: str
    note: str = ""
    text: str = ""
    is_flagged: bool = False
    inside: str = ""  # the open phase it belongs to
    step: int = 0
    call: str = ""
    number: int = 0
    agent: str = ""
    first: int = 0
    is_open: bool = False


@dataclass(frozen=True, order=True)
class Edge:
    """What led to what. `manner`: led; against, where it speaks against; used, of one call by another."""

    source: str
    target: str
    manner: str = "led"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Nodes column by column, each in its order; edges between them only."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def of(self, column: Column) -> list[Node]:
        return [node for node in self.nodes if node.column is column]

    def as_json(self) -> dict[str, Any]:
        return {
            "nodes": [
                {"id": node.id, "column": node.column.name.lower(), "kind": node.kind, "title": node.title}
                | {"note": node.note, "text": node.text, "step": node.step, "is_flagged": node.is_flagged}
                for node in self.nodes
            ],
            "edges": [
                {"source": edge.source, "target": edge.target, "manner": edge.manner} for edge in self.edges
            ],
        }
