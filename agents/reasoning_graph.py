"""How a turn came to its answer, as a graph of typed nodes: built from what happened (calls, passages, plan,
facts, checks), not from what the model says of itself. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agents import verification
from agents.citations import Passage
from agents.happenings import PlanLine
from agents.notebook import Fact, is_taken_back, rollback_of
from agents.transcript import CallRecord, Note, NoteKind, Step, Transcript
from agents.verification import Verdict
from inference.schema import Role

LABEL_CHARS = 60
TEXT_CHARS = 400

_HYPOTHESIS = re.compile(r"\s*(?:hypothes[ie]s\b|H\d+\s*[:.)]|假设|假說|假设\d*[:：])", re.IGNORECASE)
_PASSAGE = re.compile(r"\[?(\d{1,4})\]?")


class NodeKind(StrEnum):
    QUESTION = "question"
    SUBGOAL = "subgoal"
    HYPOTHESIS = "hypothesis"
    CALL = "call"
    EVIDENCE = "evidence"
    CLAIM = "claim"
    CHECK = "check"
    ANSWER = "answer"


class EdgeKind(StrEnum):
    """Read as: source KIND target."""

    SUPPORTS = "supports"
    REFUTES = "refutes"
    DEPENDS = "depends"
    SUPERSEDES = "supersedes"


@dataclass(frozen=True, kw_only=True)
class Node:
    """`step` 0: before the first. `is_flagged`: a claim that nothing bears out."""

    id: str
    kind: NodeKind
    text: str
    step: int = 0
    is_flagged: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class Edge:
    source: str
    target: str
    kind: EdgeKind


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Nodes in the order they came to be; edges lead between nodes of the graph only."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def of(self, kind: NodeKind) -> Iterator[Node]:
        return (node for node in self.nodes if node.kind is kind)

    def evidence_of(self, node_id: str) -> frozenset[str]:
        """The evidence with a path of support to the node."""
        kinds = {node.id: node.kind for node in self.nodes}
        reached, ahead = {node_id}, [node_id]
        while ahead:
            at = ahead.pop()
            for edge in self.edges:
                if edge.target == at and edge.kind is EdgeKind.SUPPORTS and edge.source not in reached:
                    reached.add(edge.source)
                    ahead.append(edge.source)
        return frozenset(found for found in reached if kinds[found] is NodeKind.EVIDENCE)

    def as_json(self) -> dict[str, Any]:
        return {
            "nodes": [
                {
                    "id": node.id,
                    "kind": node.kind.value,
                    "text": node.text,
                    "step": node.step,
                    "is_flagged": node.is_flagged,
                    "data": dict(node.data),
                }
                for node in self.nodes
            ],
            "edges": [
                {"source": edge.source, "target": edge.target, "kind": edge.kind.value} for edge in self.edges
            ],
        }

    def as_dot(self) -> str:
        """For Graphviz."""
        lines = ["digraph turn {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
        for node in self.nodes:
            style = ", style=dashed, color=red" if node.is_flagged else ""
            label = f"{node.kind.value}\n{_cut(node.text, LABEL_CHARS)}"
            lines.append(f"  {_quoted(node.id)} [label={_quoted(label)}, shape={_SHAPES[node.kind]}{style}];")
        lines += [
            f"  {_quoted(edge.source)} -> {_quoted(edge.target)} [label={_quoted(edge.kind.value)}];"
            for edge in self.edges
        ]
        return "\n".join([*lines, "}", ""])


_SHAPES = {
    NodeKind.QUESTION: "oval",
    NodeKind.SUBGOAL: "folder",
    NodeKind.HYPOTHESIS: "diamond",
    NodeKind.CALL: "component",
    NodeKind.EVIDENCE: "note",
    NodeKind.CLAIM: "box",
    NodeKind.CHECK: "hexagon",
    NodeKind.ANSWER: "doubleoctagon",
}


def build(
    transcript: Transcript,
    *,
    plan: Sequence[PlanLine] = (),
    facts: Sequence[Fact] = (),
    passages: Iterable[Passage] = (),
) -> Graph:
    """The graph of a turn as far as it has gone."""
    builder = _Builder(transcript)
    builder.add_question()
    builder.add_calls()
    builder.add_passages(passages)
    builder.add_facts(facts)
    builder.add_plan(plan)
    builder.add_answers()
    return builder.graph()


class _Builder:
    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        rollbacks = [n for n in transcript.notes if n.kind is NoteKind.ROLLBACK]
        self._rollbacks = [rollback_of(step=note.step, data=note.data) for note in rollbacks]
        self._nodes: dict[str, Node] = {}
        self._edges: dict[Edge, None] = {}

    def graph(self) -> Graph:
        edges = tuple(e for e in self._edges if e.source in self._nodes and e.target in self._nodes)
        graph = Graph(nodes=tuple(self._nodes.values()), edges=edges)
        flagged = {
            node.id
            for node in graph.of(NodeKind.CLAIM)
            if node.data.get("verdict") in _BAD or not graph.evidence_of(node.id)
        }
        nodes = (_flagged(node) if node.id in flagged else node for node in graph.nodes)
        return Graph(nodes=tuple(nodes), edges=edges)

    # ---- what happened

    def add_question(self) -> None:
        asked = [m.content for m in self._transcript.opening if m.role is Role.USER]
        self._add(Node(id="question", kind=NodeKind.QUESTION, text=_cut(asked[-1] if asked else "")))

    def add_calls(self) -> None:
        for step in self._transcript.steps:
            for call in step.calls:
                self._add_call(step, call)

    def _add_call(self, step: Step, call: CallRecord) -> None:
        node_id = f"call:{call.call.id}"
        data = {"tool": call.call.name, "arguments": call.call.arguments, "taken_back": self._is_undone(step)}
        text = f"{call.call.name} {call.call.arguments}"
        self._add(Node(id=node_id, kind=NodeKind.CALL, text=_cut(text), step=step.number, data=data))
        self._link(node_id, "question", EdgeKind.DEPENDS)

    def add_passages(self, passages: Iterable[Passage]) -> None:
        for passage in passages:
            node_id = f"passage:{passage.number}"
            call = self._nodes.get(f"call:{passage.call_id}")
            data = {"source": passage.source, "sha256": passage.sha256, "trust": passage.trust.value}
            self._add(
                Node(
                    id=node_id,
                    kind=NodeKind.EVIDENCE,
                    text=_cut(passage.text),
                    step=call.step if call else 0,
                    data={"number": passage.number, "title": passage.title, **data},
                )
            )
            self._link(node_id, f"call:{passage.call_id}", EdgeKind.DEPENDS)

    def add_facts(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            node_id = f"fact:{fact.id}"
            kind = NodeKind.HYPOTHESIS if _HYPOTHESIS.match(fact.text) else NodeKind.CLAIM
            self._add(Node(id=node_id, kind=kind, text=_cut(fact.text), data={"is_remembered": True}))
            for evidence in self._named(fact.evidence):
                self._link(evidence, node_id, EdgeKind.SUPPORTS)

    def add_plan(self, plan: Sequence[PlanLine]) -> None:
        """A line is a subgoal; one phrased as a hypothesis is borne out by its evidence when it is done, and
        refuted by it when it is dropped."""
        for number, line in enumerate(plan, start=1):
            is_hypothesis = bool(_HYPOTHESIS.match(line.text) or _HYPOTHESIS.match(line.phase))
            kind = NodeKind.HYPOTHESIS if is_hypothesis else NodeKind.SUBGOAL
            node_id = f"plan:{number}"
            data = {"phase": line.phase, "status": line.status}
            self._add(Node(id=node_id, kind=kind, text=_cut(line.text), data=data))
            self._link(node_id, "question", EdgeKind.DEPENDS)
            relation = EdgeKind.REFUTES if line.status == "dropped" else EdgeKind.SUPPORTS
            for evidence in self._named(line.evidence):
                self._link(evidence, node_id, relation)
                if self._nodes[evidence].data.get("call"):
                    self._link(f"call:{self._nodes[evidence].data['call']}", node_id, EdgeKind.DEPENDS)

    def add_answers(self) -> None:
        drafts = verification.drafts(self._transcript.notes)
        before = ""
        for step in self._transcript.steps:
            if step.calls or not step.content.strip() or self._is_undone(step):
                continue
            node_id = f"answer:{step.number}"
            data = {"is_draft": step.number in drafts}
            text = _cut(step.content)
            self._add(Node(id=node_id, kind=NodeKind.ANSWER, text=text, step=step.number, data=data))
            self._link(node_id, "question", EdgeKind.DEPENDS)
            if before:
                self._link(node_id, before, EdgeKind.SUPERSEDES)
            before = node_id
            self._add_claims(step, self._check_of(step))

    def _check_of(self, step: Step) -> Note | None:
        notes = (note for note in self._transcript.notes_after(step.number) if note.kind is NoteKind.CHECK)
        return next((note for note in notes if "sentences" in note.data), None)

    def _add_claims(self, step: Step, check: Note | None) -> None:
        if check is None:
            rows: Iterable[Mapping[str, Any]] = _cited_rows(step)
        else:
            rows = [row for row in check.data["sentences"] if row.get("step", step.number) == step.number]
            told = {key: check.data.get(key) for key in ("num_checked", "num_unsupported", "must_revise")}
            text = f"{told['num_unsupported']} of {told['num_checked']} sentences not borne out"
            node = Node(
                id=f"check:{step.number}", kind=NodeKind.CHECK, text=text, step=step.number, data=told
            )
            self._add(node)
            self._link(node.id, f"answer:{step.number}", EdgeKind.DEPENDS)
        for number, row in enumerate(rows):
            self._add_claim(step, number, row)

    def _add_claim(self, step: Step, number: int, row: Mapping[str, Any]) -> None:
        node_id, verdict = f"claim:{step.number}.{number}", row["verdict"]
        data = {"start": row["start"], "end": row["end"], "verdict": verdict, "reason": row["reason"]}
        text = _cut(step.content[row["start"] : row["end"]])
        self._add(Node(id=node_id, kind=NodeKind.CLAIM, text=text, step=step.number, data=data))
        self._link(node_id, f"answer:{step.number}", EdgeKind.SUPPORTS)
        self._link(f"check:{step.number}", node_id, _CHECKED.get(verdict, EdgeKind.DEPENDS))
        relation = EdgeKind.REFUTES if verdict == Verdict.CONTRADICTED else EdgeKind.SUPPORTS
        if verdict == Verdict.UNSUPPORTED:
            return
        names = [*(str(n) for n in row["passages"]), *row["calls"]]
        for evidence in self._named(names):
            self._link(evidence, node_id, relation)
        if row.get("by") == "arithmetic" and verdict == Verdict.SUPPORTED:
            proof = Node(
                id=f"sum:{step.number}.{number}",
                kind=NodeKind.EVIDENCE,
                text="Worked out again",
                step=step.number,
            )
            self._add(proof)
            self._link(proof.id, node_id, EdgeKind.SUPPORTS)

    # ---- names and links

    def _named(self, names: Iterable[str]) -> list[str]:
        """The nodes that ids of evidence stand for: passages, results of calls, facts. What was taken back
        stands for nothing."""
        return [node_id for name in names if (node_id := self._evidence(name)) is not None]

    def _evidence(self, name: str) -> str | None:
        if f"fact:{name}" in self._nodes:
            return f"fact:{name}"
        if f"call:{name}" in self._nodes:
            return self._result(name)
        number = _PASSAGE.fullmatch(name.strip())
        passage = self._nodes.get(f"passage:{number[1]}") if number else None
        return passage.id if passage else None

    def _result(self, call_id: str) -> str | None:
        """The node of a call's result, made when something first rests on it."""
        call = self._nodes[f"call:{call_id}"]
        record = next(found for found in self._transcript.calls() if found.call.id == call_id)
        if record.result is None or record.result.is_error or call.data["taken_back"]:
            return None
        node_id = f"result:{call_id}"
        text, data = _cut(record.result.for_model), {"call": call_id}
        self._add(Node(id=node_id, kind=NodeKind.EVIDENCE, text=text, step=call.step, data=data))
        self._link(node_id, call.id, EdgeKind.DEPENDS)
        return node_id

    def _is_undone(self, step: Step) -> bool:
        return is_taken_back(step.number, self._rollbacks)

    def _add(self, node: Node) -> None:
        self._nodes.setdefault(node.id, node)

    def _link(self, source: str, target: str, kind: EdgeKind) -> None:
        self._edges[Edge(source, target, kind)] = None


_BAD = (Verdict.UNSUPPORTED, Verdict.CONTRADICTED)
_CHECKED = {
    Verdict.SUPPORTED: EdgeKind.SUPPORTS,
    Verdict.UNSUPPORTED: EdgeKind.REFUTES,
    Verdict.CONTRADICTED: EdgeKind.REFUTES,
}


def _cited_rows(step: Step) -> Iterator[Mapping[str, Any]]:
    """What an answer that nobody checked claims, with the passages it cites."""
    for sentence in verification.split(step.content):
        if sentence.states_something or sentence.numbers:
            yield {
                "start": sentence.start,
                "end": sentence.end,
                "verdict": Verdict.UNCHECKED,
                "reason": "",
                "passages": sentence.numbers,
                "calls": (),
            }


def _flagged(node: Node) -> Node:
    return Node(id=node.id, kind=node.kind, text=node.text, step=node.step, is_flagged=True, data=node.data)


def _cut(text: str, most: int = TEXT_CHARS) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
