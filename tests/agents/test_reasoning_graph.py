"""The reasoning graph: what happened, as nodes and edges, and claims that nothing bears out."""

import json
import shutil
import subprocess

from agents import reasoning_graph
from agents.citations import PassagesAtHand
from agents.happenings import PlanLine
from agents.notebook import Fact
from agents.reasoning_graph import Edge, EdgeKind, Graph, NodeKind
from agents.transcript import Note, NoteKind, Step, Transcript
from agents.verification import Verifier
from tests.agents import faithfulness
from tests.agents.faithfulness import Case, ScriptedJudge, transcript_of

CASE = Case(
    name="report",
    answer=(
        "# Report\n\nNorda has 18 routes [7]. It has 19 harbours [7]. Two sailings each make 18 × 2 = 36. "
        "Two lakes cover 104 km². Norda is loved by all."
    ),
    results=(("calculate", '{"expression": "2 * 52"}', "104"),),
)
PLAN = (
    PlanLine(text="Find the routes", phase="gather", status="done", evidence=["functions.search:7"]),
    PlanLine(text="Hypothesis: the lake is salty", status="dropped", evidence=["[8]"]),
    PlanLine(text="Hypothesis: it freezes", status="done", evidence=["[8]", "F1"]),
)
FACTS = (
    Fact(id="F1", text="It freezes in most winters", evidence=("[8]", "functions.calculate:0")),
    Fact(id="F2", text="Nobody knows why", evidence=()),
)


async def built(case: Case = CASE, *, draft: str = "") -> Graph:
    transcript = transcript_of(case)
    verifier = Verifier(PassagesAtHand(case.stored()), judges=False)
    if draft:
        transcript.steps.insert(1, Step(number=2, reasoning="", content=draft, calls=[]))
        transcript.steps[-1].number = 3
        data = {"must_revise": True, "sentences": [], "num_checked": 1, "num_unsupported": 1}
        transcript.notes.append(Note(step=2, kind=NoteKind.CHECK, text="Mend it.", data=data))
    note = await verifier.check(transcript, ask=ScriptedJudge(case), may_revise=False)
    assert note is not None
    transcript.notes.append(note)
    return reasoning_graph.build(transcript, plan=PLAN, facts=FACTS, passages=case.stored())


def claims(graph: Graph) -> dict[str, bool]:
    """Each claim of an answer by its text, and whether it is flagged."""
    return {node.text: node.is_flagged for node in graph.of(NodeKind.CLAIM) if node.id.startswith("claim:")}


async def test_every_claim_of_an_answer_has_a_path_to_evidence_or_is_flagged() -> None:
    graph = await built()
    assert claims(graph) == {
        "Norda has 18 routes [7].": False,
        "It has 19 harbours [7].": True,
        "Two sailings each make 18 × 2 = 36.": False,
        "Two lakes cover 104 km².": False,
        "Norda is loved by all.": True,
    }
    for node in graph.of(NodeKind.CLAIM):
        assert node.is_flagged or graph.evidence_of(node.id)


async def test_evidence_leads_back_to_the_call_that_found_it_and_on_to_the_answer() -> None:
    graph = await built()
    for edge in (
        Edge("passage:7", "call:functions.search:7", EdgeKind.DEPENDS),
        Edge("call:functions.search:7", "question", EdgeKind.DEPENDS),
        Edge("passage:7", "claim:2.0", EdgeKind.SUPPORTS),
        Edge("claim:2.0", "answer:2", EdgeKind.SUPPORTS),
        Edge("check:2", "claim:2.1", EdgeKind.REFUTES),
        Edge("result:functions.calculate:0", "claim:2.3", EdgeKind.SUPPORTS),
    ):
        assert edge in graph.edges


async def test_hypotheses_are_supported_or_refuted_by_the_evidence_of_their_lines() -> None:
    graph = await built()
    kinds = {node.id: node.kind for node in graph.nodes}
    assert [kinds[f"plan:{number}"] for number in (1, 2, 3)] == ["subgoal", "hypothesis", "hypothesis"]
    assert Edge("passage:8", "plan:2", EdgeKind.REFUTES) in graph.edges
    assert Edge("fact:F1", "plan:3", EdgeKind.SUPPORTS) in graph.edges
    assert graph.evidence_of("plan:3") == {"passage:8", "result:functions.calculate:0"}


async def test_a_remembered_fact_without_evidence_is_flagged() -> None:
    flagged = {node.id: node.is_flagged for node in (await built()).of(NodeKind.CLAIM)}
    assert (flagged["fact:F1"], flagged["fact:F2"]) == (False, True)


async def test_the_answer_supersedes_its_draft() -> None:
    graph = await built(draft="Norda has 20 routes [7].")
    answers = {node.id: node.data["is_draft"] for node in graph.of(NodeKind.ANSWER)}
    assert answers == {"answer:2": True, "answer:3": False}
    assert Edge("answer:3", "answer:2", EdgeKind.SUPERSEDES) in graph.edges


def test_an_answer_that_nobody_checked_rests_on_what_it_cites() -> None:
    case = Case(name="unchecked", answer="Norda has 18 routes [7]. It is loved by all people.")
    graph = reasoning_graph.build(transcript_of(case), passages=case.stored())
    assert claims(graph) == {"Norda has 18 routes [7].": False, "It is loved by all people.": True}


def test_what_was_taken_back_bears_nothing_out() -> None:
    transcript = transcript_of(CASE)
    transcript.notes.append(Note(step=1, kind=NoteKind.ROLLBACK, text="Wrong.", data={"to_step": 0}))
    graph = reasoning_graph.build(transcript, facts=FACTS[:1], passages=())
    [call] = [node for node in graph.of(NodeKind.CALL) if node.data["tool"] == "calculate"]
    assert call.data["taken_back"] is True
    assert graph.evidence_of("fact:F1") == frozenset()


def test_a_turn_that_has_not_begun_is_a_question() -> None:
    graph = reasoning_graph.build(Transcript(opening=()))
    assert [node.kind for node in graph.nodes] == [NodeKind.QUESTION]


async def test_it_is_a_graph_without_circles_whose_edges_all_have_ends() -> None:
    graph = await built(draft="Norda has 20 routes [7].")
    ids = {node.id for node in graph.nodes}
    assert all({edge.source, edge.target} <= ids for edge in graph.edges)
    ahead: dict[str, set[str]] = {node_id: set() for node_id in ids}
    for edge in graph.edges:
        ahead[edge.source].add(edge.target)
    while ends := [node_id for node_id in ahead if not ahead[node_id]]:
        for node_id in ends:
            del ahead[node_id]
        for targets in ahead.values():
            targets.difference_update(ends)
    assert ahead == {}


async def test_it_is_exported_as_json() -> None:
    graph = await built()
    loaded = json.loads(json.dumps(graph.as_json()))
    assert {node["kind"] for node in loaded["nodes"]} == set(NodeKind)
    [seven] = [node for node in loaded["nodes"] if node["id"] == "passage:7"]
    assert seven["data"]["sha256"] == faithfulness.passage(7, faithfulness.FIRM).sha256


async def test_it_is_exported_for_graphviz() -> None:
    case = Case(name="quotes", answer='He said \\ "ships\nsail" on 18 routes [7].')
    dot = (await built(case)).as_dot()
    assert dot.startswith("digraph turn {")
    assert dot.count(" -> ") >= 5
    assert 'label="supports"' in dot
    unescaped = dot.replace("\\\\", "").replace('\\"', "")
    assert all(line.count('"') % 2 == 0 for line in unescaped.splitlines())
    if (graphviz := shutil.which("dot")) is not None:
        subprocess.run([graphviz, "-Tsvg"], input=dot, text=True, check=True, capture_output=True)
