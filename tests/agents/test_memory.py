"""Remembering facts, and having back what has left the view."""

from typing import Any

from agents.notebook import InMemoryNotebook
from agents.tool import Fault, NewArtifact, ToolContext, ToolResult, Trust
from agents.tools.memory import PAGE_CHARS, Recall, Remember
from agents.transcript import NoteKind
from tests.agents.transcripts import Story

LONG = "".join(f"line {number}\n" for number in range(3_000))


class Desk:
    def __init__(self) -> None:
        self.story = Story()
        self.story.step(ToolResult(for_model="6,400 km", trust=Trust.WEB), LONG)
        self.notebook = InMemoryNotebook(self.story.transcript)

    async def remember(self, fact: str, *evidence: str, key: str = "turn.1.0") -> ToolResult:
        arguments = {"fact": fact, "evidence": list(evidence)}
        return await Remember(self.notebook).run(arguments, ToolContext(key=key))

    async def recall(self, what: str, **page: Any) -> ToolResult:
        return await Recall(self.notebook).run({"what": what, **page}, ToolContext(key="k"))


async def test_a_fact_is_kept_with_its_evidence_once_however_often_the_call_runs():
    desk = Desk()
    for _ in range(2):
        assert (await desk.remember("6,400 km", "functions.search:0")).for_model == "Kept as F1."
    [fact] = await desk.notebook.facts()
    assert fact.evidence == ("functions.search:0",)


async def test_a_fact_without_real_evidence_is_not_kept():
    desk = Desk()
    result = await desk.remember("6,400 km", "functions.search:0", "functions.search:7", "[3]")
    assert result.fault is Fault.BAD_ARGUMENTS
    assert "functions.search:7, [3]" in result.for_model
    assert not await desk.notebook.facts()


async def test_a_hidden_result_comes_back_whole_page_by_page():
    desk = Desk()
    desk.story.note(NoteKind.HIDDEN, through_step=1)
    text, page = "", 0
    while len(text) < len(LONG):
        page += 1
        result = await desk.recall("functions.search:1", page=page)
        head, _, body = result.for_model.partition("\n")
        assert head == f"functions.search:1 (search, page {page} of {-(-len(LONG) // PAGE_CHARS)}):"
        text += body
    assert text == LONG
    beyond = await desk.recall("functions.search:1", page=page + 1)
    assert beyond.is_error


async def test_what_comes_back_is_trusted_no_more_than_it_was():
    assert (await Desk().recall("functions.search:0")).trust is Trust.WEB


async def test_an_artifact_comes_back_by_its_name():
    desk = Desk()
    whole = NewArtifact(name="search-2-0.txt", text="the whole text")
    desk.story.step(ToolResult(for_model="cut", artifacts=(whole,)))
    assert (await desk.recall(" search-2-0.txt ")).for_model.endswith("the whole text")


async def test_facts_come_back_by_their_words_the_best_first():
    desk = Desk()
    for number, fact in enumerate(["The Nile is long", "The Amazon is 6,400 km long", "亚马逊河长6400公里"]):
        await desk.remember(fact, "functions.search:0", key=str(number))
    lines = (await desk.recall("AMAZON long")).for_model.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["F2", "F1"]
    assert "6400公里" in (await desk.recall("亚马逊河")).for_model
    assert (await desk.recall("F1")).for_model.endswith("The Nile is long [functions.search:0]")


async def test_what_is_not_there_is_said_to_be_not_there():
    desk = Desk()
    result = await desk.recall("functions.search:99")
    assert result.found_nothing
    assert "No facts have been kept yet." in result.for_model
