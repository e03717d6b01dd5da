"""The check of an answer inside the loop: what is sent back, what is a draft, what a crash leaves to do."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agents.citations import Passage, fingerprint
from agents.happenings import NoteAdded
from agents.memory_store import MemoryStore
from agents.steps.loop import Outcome
from agents.tool import NewPassage, Tool, ToolContext, ToolResult, Traits, Trust
from agents.tools.verify_claim import VerifyClaim
from agents.transcript import NoteKind
from agents.verification import Verifier, drafts
from inference.backends.scripted import Reply as Line
from inference.schema import FinishReason, Role, ToolSpec
from tests.agents.faithfulness import LAKE
from tests.agents.stage import QUESTION, Stage

RIGHT = "text: Lake Orsa is 94 m deep [1]."
WRONG = "text: Lake Orsa is 49 m deep [1]."
SEARCH = Line(step=1, lines=("call: search {}",))
JUDGE = "The JSON with a verdict"
CLAIM = '{"claim": "Orsa is 49 m deep. It has 52 km².", "passages": [1]}'


class Search:
    """Finds one passage."""

    spec = ToolSpec(name="search", description="Search.", parameters={"type": "object"})
    traits = Traits(trust=Trust.WEB)

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        found = NewPassage(
            source="https://example.org/orsa",
            title="Orsa",
            text=LAKE,
            fetched_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        return ToolResult(for_model=f"⟦0⟧ {LAKE}", passages=(found,))


class Kept:
    """The passages that a store in memory holds."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    async def passages(self) -> Sequence[Passage]:
        return [
            Passage(
                number=number,
                source=new.source,
                title=new.title,
                text=new.text,
                sha256=fingerprint(new.text),
                call_id="functions.search:0",
            )
            for number, new in self.store.passages.items()
        ]


def staged(*lines: Line, store: MemoryStore | None = None, judges: bool = False, **setting: Any) -> Stage:
    store = store or MemoryStore()
    tools: list[Tool] = [Search(), VerifyClaim(Kept(store))]
    verifier = Verifier(Kept(store), judges=judges)
    return Stage(*lines, tools=tools, store=store, verifier=verifier, **setting)


async def test_an_answer_with_a_wrong_number_is_sent_back_and_is_a_draft() -> None:
    stage = staged(SEARCH, Line(step=2, lines=(WRONG,)), Line(step=3, lines=(RIGHT,)))
    assert await stage.drive() == Outcome(finish_reason=FinishReason.STOP)
    assert [reply.content for reply in stage.kept.replies] == ["", WRONG[6:], RIGHT[6:]]
    assert drafts(stage.kept.notes) == {2}
    first, second = stage.kept.notes
    assert [first.data["must_revise"], second.data["must_revise"]] == [True, False]
    assert second.data["num_unsupported"] == 0
    told = stage.kept.requests[2].messages[-1]
    assert told.role is Role.USER
    assert "49 m" in told.content
    assert [event.kind for event in stage.heard.happened_of(NoteAdded)] == ["check", "check"]


async def test_an_answer_still_wrong_after_two_revisions_is_marked() -> None:
    stage = staged(SEARCH, Line(lines=(WRONG,)))
    assert await stage.drive() == Outcome(finish_reason=FinishReason.STOP)
    assert [note.data["must_revise"] for note in stage.kept.notes] == [True, True, False]
    assert drafts(stage.kept.notes) == {2, 3}
    last = stage.kept.notes[-1]
    assert (last.step, last.data["sentences"][0]["verdict"]) == (4, "unsupported")


async def test_an_answer_whose_worker_died_before_its_check_is_checked_once() -> None:
    stage = staged(SEARCH, Line(step=2, lines=(WRONG,)), Line(step=3, lines=(RIGHT,)))
    await stage.drive()
    store = stage.kept
    store.replies, store.notes = store.replies[:2], []
    again = staged(Line(step=3, lines=(RIGHT,)), store=store)
    again.progress = store.progress((QUESTION,))
    assert await again.drive() == Outcome(finish_reason=FinishReason.STOP)
    assert [note.step for note in store.notes] == [2, 3]
    assert [reply.content for reply in store.replies][1:] == [WRONG[6:], RIGHT[6:]]


async def test_an_answer_whose_worker_died_after_its_check_is_not_checked_again() -> None:
    stage = staged(SEARCH, Line(step=2, lines=(WRONG,)), Line(step=3, lines=(RIGHT,)))
    await stage.drive()
    store = stage.kept
    store.replies, store.notes = store.replies[:2], store.notes[:1]
    again = staged(Line(step=3, lines=(RIGHT,)), store=store)
    again.progress = store.progress((QUESTION,))
    await again.drive()
    assert [(note.step, note.data["must_revise"]) for note in store.notes] == [(2, True), (3, False)]


async def test_a_plain_answer_costs_nothing_and_gets_no_note() -> None:
    stage = staged(Line(lines=("text: The sky is blue for 4,711 reasons.",)), judges=True)
    await stage.drive()
    assert stage.kept.notes == []
    assert len(stage.kept.requests) == 1


async def test_the_judges_tokens_are_counted() -> None:
    ruling = '{"verdicts": [{"id": 1, "verdict": "not supported", "why": "it says nothing of fish"}]}'
    stage = staged(
        Line(when=JUDGE, lines=(f"text: {ruling}",)),
        SEARCH,
        Line(step=2, lines=("text: Orsa is full of fish [1].",)),
        Line(step=3, lines=("text: Unknown.",)),
        judges=True,
    )
    assert await stage.drive() == Outcome(finish_reason=FinishReason.STOP)
    first = stage.kept.notes[0]
    assert first.data["sentences"][0]["reason"] == "it says nothing of fish"
    assert stage.kept.asides[0].usage.output_tokens > 0
    assert stage.progress.usage.output_tokens > sum(r.usage.output_tokens for r in stage.kept.replies)


async def test_the_model_can_check_a_claim_before_it_answers() -> None:
    stage = staged(
        SEARCH,
        Line(step=2, lines=(f"call: verify_claim {CLAIM}",)),
        Line(step=3, lines=(RIGHT,)),
    )
    await stage.drive()
    _, result = stage.kept.results.values()
    assert result.for_model.splitlines() == [
        "Orsa is 49 m deep. [1]",
        "unsupported: 49 m is in none of its sources, nor was it calculated.",
        "It has 52 km². [1]",
        "supported by [1] (numbers)",
    ]
    assert [note.kind for note in stage.kept.notes] == [NoteKind.CHECK], "of the answer alone"
