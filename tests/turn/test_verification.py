"""The check of an answer in whole turns, and what its rows tell of the evidence."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agents import custom_tools
from agents.tool import NewPassage, ToolContext, ToolResult, Traits, Trust
from agents.transcript import NoteKind
from chat import evidence, history
from chat.models import Message, Passage, Turn
from inference.backends.scripted import Reply
from inference.schema import ToolSpec
from tests.agents.faithfulness import LAKE
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from tests.turn.test_resume import sweep_until
from webapp.accounts.models import User
from webapp.billing.models import UsageRecord
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

SEARCH = Reply(step=1, lines=('call: orsa_search {"query": "depth"}',))
WRONG = "Lake Orsa is 49 m deep [1]."
RIGHT = "Lake Orsa is 94 m deep [1]."
REVISED = (SEARCH, Reply(step=2, lines=(f"text: {WRONG}",)), Reply(step=3, lines=(f"text: {RIGHT}",)))


class OrsaSearch:
    """A search tool as an operator adds one: it finds one passage."""

    spec = ToolSpec(
        name="orsa_search",
        description="Search.",
        parameters={"type": "object", "properties": {"query": {"type": "string"}}},
    )
    traits = Traits(trust=Trust.WEB)

    async def run(self, arguments: Any, context: ToolContext) -> ToolResult:
        found = NewPassage(
            source="https://example.org/orsa",
            title="Orsa",
            text=LAKE,
            fetched_at=datetime(2026, 1, 2, tzinfo=UTC),
        )
        return ToolResult(for_model=f"⟦0⟧ {LAKE}", passages=(found,))


@pytest.fixture(autouse=True)
def installed_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = tmp_path / "orsa-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orsa\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[agents.tools]\norsa = {__name__}:OrsaSearch\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    custom_tools.installed.cache_clear()
    yield
    sys.path_importer_cache.clear()
    custom_tools.installed.cache_clear()


def checks() -> list[Message]:
    return list(Message.objects.filter(kind=NoteKind.CHECK).order_by("step", "position"))


def test_an_answer_with_a_wrong_number_is_sent_back_and_the_right_one_is_the_answer(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(*REVISED)
    frames = alice_tab.ask("How deep is it?", long_thinking=True)
    row = Turn.objects.get()
    assert history.turn_view(row).answer == RIGHT
    assert [note.data["must_revise"] for note in checks()] == [True, False]
    assert [frame["step"] for frame in frames.of("note.added") if frame["kind"] == "check"] == [2, 3]
    assert frames[-1]["finish_reason"] == "stop"


def test_an_answer_still_wrong_after_two_revisions_is_marked(alice_tab: Tab, script: WriteScript) -> None:
    script(SEARCH, Reply(lines=(f"text: {WRONG}",)))
    alice_tab.ask("How deep is it?", long_thinking=True)
    row = Turn.objects.get()
    assert [note.data["must_revise"] for note in checks()] == [True, True, False]
    assert history.turn_view(row).answer == WRONG
    [support] = evidence.support_of(row)
    assert (support.text, support.verdict) == (WRONG, "unsupported")
    assert support.reason == "49 m is in none of its sources."


def test_a_turn_without_tools_is_not_checked(alice_tab: Tab, script: WriteScript) -> None:
    script("text: There are 4,711 reasons [3].")
    alice_tab.ask("Why?")
    assert checks() == []


def test_an_answer_whose_worker_died_before_the_check_is_checked_on_resume_and_once(
    open_tab: OpenTab, alice: User, script: WriteScript, celery_worker: None
) -> None:
    script(*REVISED)
    tab = open_tab(alice)
    tab.ask("How deep is it?", long_thinking=True)
    Message.objects.filter(step=3).delete()
    Message.objects.filter(step=2, role="note").delete()
    Turn.objects.update(
        status="running",
        finish_reason="",
        finished_at=None,
        lease_until=Turn.objects.get().created_at,
        next_step=3,
    )
    tab.frames.clear()
    sweep_until(lambda: Turn.objects.get().status == "finished", within_s=20)
    assert [(note.step, note.data["must_revise"]) for note in checks()] == [(2, True), (3, False)]
    assert history.turn_view(Turn.objects.get()).answer == RIGHT


def test_the_judge_of_a_high_effort_is_billed_with_the_turn(
    alice_tab: Tab, script: WriteScript, scripted_model: ServedModel
) -> None:
    ruling = json.dumps(
        {"verdicts": [{"id": 1, "verdict": "supported", "evidence": "It freezes in most winters"}]}
    )
    script(
        Reply(when="The JSON with a verdict", lines=(f"text: {ruling}",)),
        SEARCH,
        Reply(step=2, lines=("text: Orsa mostly freezes in winters [1].",)),
    )
    alice_tab.ask("Does it freeze?", long_thinking=True, effort="high")
    [note] = checks()
    assert note.data["sentences"][0]["verdict"] == "supported"
    [aside] = Message.objects.filter(role="aside")
    assert aside.output_tokens > 0
    replies = Message.objects.filter(role="assistant").values_list("output_tokens", flat=True)
    assert UsageRecord.objects.get().output_tokens == sum(replies) + aside.output_tokens


def test_the_chain_leads_from_the_sentence_to_the_document_and_the_query(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(*REVISED)
    alice_tab.ask("How deep is it?", long_thinking=True)
    row = Turn.objects.get()
    [support] = evidence.support_of(row)
    assert (support.text, support.verdict) == (RIGHT, "supported")
    [citation] = support.citations
    assert citation.sha256 == Passage.objects.get().sha256
    assert (citation.source, citation.tool, citation.step) == ("https://example.org/orsa", "orsa_search", 1)
    assert json.loads(citation.query) == {"query": "depth"}
    assert (citation.is_intact, citation.trust, citation.domain) == (True, "web", "example.org")
    [place] = citation.cited
    assert RIGHT[place.start : place.end] == "[1]"
    exported = json.loads(json.dumps(evidence.export_of(row)))
    assert exported["citations"][0]["text"] == LAKE
    assert {node["kind"] for node in exported["graph"]["nodes"]} >= {"question", "call", "evidence", "claim"}


def test_a_passage_that_was_changed_proves_nothing(alice_tab: Tab, script: WriteScript) -> None:
    script(*REVISED)
    alice_tab.ask("How deep is it?", long_thinking=True)
    Passage.objects.update(text=LAKE.replace("94", "49"))
    [citation] = evidence.citations_of(Turn.objects.get())
    assert citation.is_intact is False


def test_the_graph_of_a_stored_turn_has_a_path_to_evidence_for_each_claim(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(*REVISED)
    alice_tab.ask("How deep is it?", long_thinking=True)
    graph = evidence.graph_of(Turn.objects.get())
    flagged = {node.text: node.is_flagged for node in graph.nodes if node.id.startswith("claim:")}
    assert flagged == {WRONG: True, RIGHT: False}
