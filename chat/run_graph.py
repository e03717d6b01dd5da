"""How a turn came to its answer, as a picture and a list show it: what was asked, done and found, and what
the answer says. Made of the reasoning graph (agents.reasoning_graph) and the rows that it is made of; a phase
of many calls is one node until it is opened. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agents import reasoning_graph
from agents.passages import host_of
from agents.reasoning_graph import EdgeKind, Graph, NodeKind
from agents.verification import Verdict
from chat import call_lines, folding, lanes, run_uses
from chat.history import TurnView
from chat.run_nodes import Column, Edge, Node, Picture
from chat.runs import kind_of
from chat.step_views import StepView, ToolCallView

MOST_CALLS = 60  # of an open phase
MOST_SOURCES, MOST_SENTENCES = 24, 24
TEXT_CHARS = 400
_ADDRESS = re.compile(r"^https?://(?:www\.)?")
QUIET_TOOLS = ("plan",)  # its lines are the phases


def of(view: TurnView, graph: Graph, *, opened: Collection[int] = ()) -> Picture:
    """`opened` are the first steps of the phases whose calls are shown one by one."""
    maker = _Maker(view, graph, opened)
    maker.add_work()
    maker.add_paths()
    maker.add_sentences()
    maker.add_uses()
    return maker.picture()


@dataclass
class _Maker:
    view: TurnView
    graph: Graph
    opened: Collection[int]
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[Edge, None] = field(default_factory=dict)
    work_of: dict[str, str] = field(default_factory=dict)  # call → the node that shows it

    def picture(self) -> Picture:
        order = sorted(self.nodes.values(), key=lambda node: node.column)  # stable: in each as they came
        edges = [edge for edge in self.edges if edge.source in self.nodes and edge.target in self.nodes]
        return Picture(nodes=tuple(order), edges=tuple(edges))

    # ---- what was done

    def add_work(self) -> None:
        text = _cut(self.view.user_text)
        self._add(
            Node(id="question", column=Column.QUESTION, kind="question", title=_("Question"), text=text)
        )
        for phase in phases(self.view.steps, is_live=not self.view.is_finished):
            calls = [(step, call) for step in phase.steps for call in _shown_calls(step)]
            if not calls:
                continue
            if not phase.title and phase.kind is folding.Kind.OPEN:
                self._add_calls(calls, inside="")
            else:
                self._add_phase(phase, calls)

    def _add_phase(self, phase: folding.Stretch, calls: list[tuple[StepView, ToolCallView]]) -> None:
        is_open = (phase.first in self.opened) != (phase.kind is folding.Kind.OPEN)
        faults = sum(call.is_error for _step, call in calls)
        counted = ngettext("%(n)d step", "%(n)d steps", len(phase.steps)) % {"n": len(phase.steps)}
        told = call_lines.counted(phase.tally)
        node = Node(
            id=f"phase:{phase.first}",
            column=Column.WORK,
            kind="phase",
            title=_title(phase),
            note=f"{counted} · {told}",
            text=" · ".join(filter(None, (_title(phase), counted, told, phase.fault))),
            is_flagged=bool(faults),
            step=phase.first,
            first=phase.first,
            is_open=is_open,
        )
        self._add(node)
        self._link("question", node.id)
        if is_open:
            self._add_calls(calls[:MOST_CALLS], inside=node.id)
            calls = calls[MOST_CALLS:]
        for _step, call in calls:
            self.work_of[call.id] = node.id

    def _add_calls(self, calls: list[tuple[StepView, ToolCallView]], *, inside: str) -> None:
        for step, call in calls:
            line = call_lines.of(call.name)
            about = call_lines.object_of(call.name, call.arguments)
            node = Node(
                id=f"call:{call.id}",
                column=Column.WORK,
                kind="error" if call.is_error else kind_of(call.name),
                title=_ADDRESS.sub("", about) or str(line.label),
                note=" · ".join(
                    filter(None, (_("Step %(n)d") % {"n": step.number}, str(line.label) if about else ""))
                ),
                text=_cut(
                    f"{line.label}: {about} → {call_lines.gist(call.result)}" if about else str(line.label)
                ),
                is_flagged=call.is_error,
                inside=inside,
                step=step.number,
                call=call.id,
            )
            self._add(node)
            self._link(inside or "question", node.id)
            self.work_of[call.id] = node.id

    def add_paths(self) -> None:
        """Agents that worked apart, the answers that they gave, and the one that was taken."""
        if not self.view.agents:
            return
        for ballot in lanes.of(self.view).ballots if self.view.turn.effort == "heavy" else ():
            vote = Node(
                id=ballot.key,
                column=Column.SAID,
                kind="vote",
                title=ballot.headline,
                note=ballot.said,
                text=f"{ballot.headline}: {ballot.said}",
            )
            self._add(vote)
            if ballot.wins:
                self._link(vote.id, "answer")
            for lane in ballot.lanes:
                self._link(f"path:{lane.agent.id}", vote.id)
        for agent in sorted(self.view.agents, key=lambda one: one.number):
            done = ngettext("%(n)d step", "%(n)d steps", agent.num_steps) % {"n": agent.num_steps}
            self._add(
                Node(
                    id=f"path:{agent.id}",
                    column=Column.WORK,
                    kind="path",
                    title=agent.role or _("Path %(number)d") % {"number": agent.number},
                    note=done,
                    text=_cut(agent.answer or agent.task),
                    agent=str(agent.id),
                )
            )
            self._link("question", f"path:{agent.id}")

    # ---- what the answer says, and what it stands on

    def add_sentences(self) -> None:
        found = {node.id: node for node in self.graph.nodes}
        answers = {node.id for node in self.graph.of(NodeKind.ANSWER) if not node.data["is_draft"]}
        if answers:
            text = _cut(self.view.answer)
            last = max(found[one].step for one in answers)
            self._add(
                Node(
                    id="answer", column=Column.ANSWER, kind="answer", title=_("Answer"), text=text, step=last
                )
            )
        elif not self.view.is_finished:
            self._add(Node(id="answer", column=Column.ANSWER, kind="next", title=_("No answer yet")))
        grounds = self._grounds(found, answers)
        shown = dict(list(grounds.items())[:MOST_SENTENCES])
        cited = self._sources(found, shown.values())
        for claim, edges in shown.items():
            self._add_sentence(found[claim], edges, cited)
        num_more = sum(
            node.kind is NodeKind.CLAIM
            and node.id.startswith("claim:")
            and self._answer_of(node.id) in answers
            for node in self.graph.nodes
        ) - len(shown)
        if num_more > 0:
            title = ngettext("%(n)d more sentence", "%(n)d more sentences", num_more) % {"n": num_more}
            note = _("without a source of their own") if len(grounds) == len(shown) else ""
            self._add(
                Node(id="sentences", column=Column.SAID, kind="more", title=title, note=note, text=title)
            )
            self._link("sentences", "answer")

    def _grounds(
        self, found: Mapping[str, reasoning_graph.Node], answers: Collection[str]
    ) -> dict[str, list[reasoning_graph.Edge]]:
        """The sentences to show, in their order, with what each stands on; those that stand on nothing only
        where a check has said so."""
        evidence: dict[str, list[reasoning_graph.Edge]] = {}
        for edge in self.graph.edges:
            if found[edge.source].kind is NodeKind.EVIDENCE and found[edge.target].kind is NodeKind.CLAIM:
                evidence.setdefault(edge.target, []).append(edge)
        claims = [
            node
            for node in self.graph.of(NodeKind.CLAIM)
            if node.id.startswith("claim:") and self._answer_of(node.id) in answers
        ]
        bad = (Verdict.UNSUPPORTED, Verdict.CONTRADICTED)
        return {
            node.id: evidence.get(node.id, [])
            for node in claims
            if node.id in evidence or node.data.get("verdict") in bad
        }

    @staticmethod
    def _answer_of(claim: str) -> str:
        return f"answer:{claim.removeprefix('claim:').partition('.')[0]}"

    def _sources(
        self, found: Mapping[str, reasoning_graph.Node], grounds: Iterable[list[reasoning_graph.Edge]]
    ) -> set[str]:
        """The nodes of what was found: first what the sentences stand on, then how much else was read."""
        wanted = {edge.source for edges in grounds for edge in edges}
        passages = [node for node in self.graph.of(NodeKind.EVIDENCE) if node.id.startswith("passage:")]
        others = [
            node for node in self.graph.of(NodeKind.EVIDENCE) if node.id in wanted and node not in passages
        ]
        cited = [node for node in passages if node.id in wanted]
        shown = {node.id for node in [*cited, *others][:MOST_SOURCES]}
        for node in sorted([*cited, *others], key=lambda node: (node.step, node.data.get("number", 0))):
            if node.id in shown:
                self._add_found(node, found)
        read = [node for node in passages if node.id not in shown]
        if read:
            title = ngettext("%(n)d more was read", "%(n)d more were read", len(read)) % {"n": len(read)}
            note = _("not cited") if len(shown) == len(cited) + len(others) else ""
            self._add(
                Node(
                    id="read", column=Column.FOUND, kind="more", title=title, note=note, text=title, number=-1
                )
            )
            for node in read:
                self._link(self._origin(node), "read")
        return shown

    def _add_found(self, node: reasoning_graph.Node, found: Mapping[str, reasoning_graph.Node]) -> None:
        data = node.data
        if node.id.startswith("passage:"):
            host = host_of(data["source"]).removeprefix("www.") or data["source"]
            title, note, kind = data["title"] or host, f"[{data['number']}] {host}", "source"
            call = ""
        else:
            call = str(data.get("call", ""))
            caller = found.get(f"call:{call}")
            tool = str(caller.data["tool"]) if caller else ""
            note = str(call_lines.of(tool).label) if tool else _("Worked out again")
            title, kind = call_lines.gist(node.text) or note, "result"
        number = int(data.get("number", 0))
        self._add(
            Node(
                id=node.id,
                column=Column.FOUND,
                kind=kind,
                title=title,
                note=note,
                text=_cut(f"{title} — {node.text}"),
                step=node.step,
                call=call,
                number=number,
            )
        )
        self._link(self._origin(node), node.id)

    def _origin(self, evidence: reasoning_graph.Node) -> str:
        """The work that brought it; of what came with the question, or before it, the question."""
        calls = (
            edge.target.removeprefix("call:")
            for edge in self.graph.edges
            if edge.source == evidence.id and edge.target.startswith("call:")
        )
        return self.work_of.get(next(calls, ""), "question")

    def _add_sentence(
        self, claim: reasoning_graph.Node, grounds: list[reasoning_graph.Edge], shown: Collection[str]
    ) -> None:
        is_bad = claim.data.get("verdict") in (Verdict.UNSUPPORTED, Verdict.CONTRADICTED)
        words = {
            Verdict.SUPPORTED: _("borne out"),
            Verdict.UNSUPPORTED: _("nothing bears it out"),
            Verdict.CONTRADICTED: _("its source says otherwise"),
        }
        note = words.get(Verdict(claim.data.get("verdict") or Verdict.UNCHECKED), "")
        self._add(
            Node(
                id=claim.id,
                column=Column.SAID,
                kind="sentence",
                title=plain(claim.text),
                note=note,
                text=plain(claim.text),
                is_flagged=is_bad,
                step=claim.step,
            )
        )
        self._link(claim.id, "answer")
        for edge in grounds:
            target = edge.source if edge.source in shown else "read"
            self._link(target, claim.id, "against" if edge.kind is EdgeKind.REFUTES else "led")

    # ---- what one call made of another's

    def add_uses(self) -> None:
        for earlier, later in run_uses.of(self.view, self.graph):
            source, target = self.work_of.get(earlier, ""), self.work_of.get(later, "")
            if source and target and source != target:
                self._link(source, target, "used")

    def _add(self, node: Node) -> None:
        self.nodes.setdefault(node.id, node)

    def _link(self, source: str, target: str, manner: str = "led") -> None:
        self.edges[Edge(source, target, manner)] = None


def phases(steps: Sequence[StepView], *, is_live: bool) -> Iterator[folding.Stretch]:
    """The steps as the page folds them; what stands open there, by the plan's lines."""
    titles = folding.titles(steps)
    for stretch in folding.stretches(steps, is_live=is_live):
        if stretch.kind is not folding.Kind.OPEN:
            yield stretch
            continue
        for title, members in groupby(stretch.steps, key=lambda step: titles.get(step.number, "")):
            yield folding.Stretch(kind=stretch.kind, steps=tuple(members), title=title)


def _shown_calls(step: StepView) -> list[ToolCallView]:
    return [call for call in step.tool_calls if call.name not in QUIET_TOOLS]


def _title(phase: folding.Stretch) -> str:
    if phase.kind is folding.Kind.UNDONE:
        return _("Steps that were undone")
    if phase.kind is folding.Kind.DRAFT:
        return _("A draft that was sent back")
    if phase.title:
        return phase.title
    return _("Steps %(first)d to %(last)d") % {"first": phase.first, "last": phase.last}


def plain(markdown: str) -> str:
    """A sentence of an answer as it reads, without marks and numbers in brackets."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"\s*(?:\[[\d,\s–-]+\]|【[\d,\s–-]+】)", "", text)
    return " ".join(re.sub(r"\*\*|__|`+|^[#>\s]+", "", text).split())


def _cut(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= TEXT_CHARS else f"{words[: TEXT_CHARS - 1]}…"
