"""A report written in a whole turn: chapters with citations, a table, a chart, a section mended after its
check, and files whose text and citations are read back."""

import io
import json
import re
from collections.abc import Sequence
from ctypes.util import find_library
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from docx import Document
from pypdf import PdfReader

from agents import citations, custom_tools
from agents.tool import NewPassage, ToolContext, ToolResult, Traits, Trust
from chat import segment, step_rows, workspaces
from chat.models import Artifact, Part, Passage, Turn
from inference.backends.scripted import Reply
from inference.schema import ToolSpec
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from tests.turn.test_crash import Killed, ask, drive_to_the_end
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(find_library("pangoft2-1.0") is None, reason="no Pango to make PDF with"),
]

LAKE = "Lake Orsa is 94 m deep. Its area is 1,250 km2."
TOWN = "Brenn had 11,800 inhabitants in 2010 and 12,400 in 2020."
SOURCES = {"lake": ("https://example.org/orsa", LAKE), "town": ("https://example.org/brenn", TOWN)}
SECTIONS = [
    {"id": "lake", "title": "The lake"},
    {"id": "town", "title": "The town"},
    {"id": "end", "title": "Conclusion"},
]
FIGURE = "![Inhabitants of Brenn](figures/brenn.png) Source: [2]."
TABLE = "![Census](tables/census.md) Source: [2]."
WRONG, RIGHT = "Lake Orsa is 49 m deep [1].", "Lake Orsa is 94 m deep [1]."
CENSUS = {"Year": [2010, 2020], "Inhabitants": [11800, 12400]}


class Search:
    spec = ToolSpec(
        name="search",
        description="Search.",
        parameters={"type": "object", "properties": {"what": {"type": "string"}}},
    )
    traits = Traits(trust=Trust.WEB)

    async def run(self, arguments: Any, context: ToolContext) -> ToolResult:
        source, text = SOURCES[arguments["what"]]
        found = NewPassage(
            source=source,
            title=arguments["what"].title(),
            text=text,
            fetched_at=datetime(2026, 1, 2, tzinfo=UTC),
        )
        return ToolResult(for_model=f"⟦0⟧ {text}", passages=(found,))


@pytest.fixture(autouse=True)
def installed_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_tools, "installed", lambda: (Search(),))


def call(tool: str, **arguments: Any) -> str:
    return f"call: {tool} {json.dumps(arguments)}"


def steps(*lines: str | Sequence[str]) -> list[Reply]:
    """One step after another."""
    each = [(one,) if isinstance(one, str) else tuple(one) for one in lines]
    return [Reply(step=number, lines=one) for number, one in enumerate(each, 1)]


REPORT = steps(
    (call("search", what="lake"), call("search", what="town")),
    call("document", action="outline", title="Orsa and Brenn", sections=SECTIONS),
    (
        call(
            "chart", kind="bar", title="Inhabitants of Brenn", columns=CENSUS, save_as="brenn", citations=[2]
        ),
        call("table", title="Census", columns=CENSUS, citations=[2], save_as="census"),
    ),
    call("document", action="write", section="lake", text=f"{WRONG} Its area is 1,250 km2 [1]."),
    call(
        "document", action="write", section="town", text=f"Brenn grew to 12,400 [2].\n\n{FIGURE}\n\n{TABLE}"
    ),
    call("document", action="write", section="end", text="Both are small [1, 2]. 湖和镇都不大。"),
    call("document", action="check", section="lake"),
    call("document", action="revise", section="lake", old="49 m", new="94 m"),
    call("document", action="check", section="lake"),
    call("document", action="export", formats=["md", "docx", "pdf"]),
    "text: The report is done.",
)


def results(turn: Turn) -> list[str]:
    """What the model read, in order."""
    read = Part.objects.filter(message__turn=turn, kind=Part.Kind.TOOL_RESULT)
    return list(read.order_by("message__step", "message__position").values_list("text", flat=True))


def exported(turn: Turn, ending: str) -> bytes:
    return workspaces.read(turn.conversation, f"documents/report.{ending}", max_bytes=10**8)


def words_of_pdf(content: bytes) -> str:
    return " ".join("\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages).split())


def words_of_docx(content: bytes) -> str:
    body = Document(io.BytesIO(content)).element.body
    # Links hold runs of their own, which a paragraph's text leaves out in their places.
    return " ".join("".join(body.itertext()).split())


def test_a_report_is_written_mended_and_exported_with_its_citations(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(*REPORT)
    alice_tab.ask("Write the report.", long_thinking=True)
    turn = Turn.objects.get()
    said = results(turn)
    assert "49 m is in none of its sources" in said[8]
    assert said[10].startswith("Sentences checked: 2; not borne out: 0.")
    assert "2 passages of 2 sources are cited." in said[11]
    for words in (words_of_pdf(exported(turn, "pdf")), words_of_docx(exported(turn, "docx"))):
        for text in (
            "Orsa and Brenn",
            "Lake Orsa is 94 m deep [1]",
            "Brenn grew to 12,400 [2]",
            "湖和镇都不大",
        ):
            assert text in words
        assert re.search(r"Both are small ?\[1\] ?\[2\]", words)
        assert "Figure 1. Inhabitants of Brenn Source: [2]" in words
        assert "https://example.org/brenn" in words
        assert "49 m" not in words
    names = set(Artifact.objects.values_list("name", flat=True))
    assert names >= {"figures/brenn.png", "tables/census.md", "documents/report.pdf", "documents/report.docx"}
    assert "| 2020 | 12,400 |" in exported(turn, "md").decode()


def test_every_citation_of_an_exported_report_resolves_to_a_stored_passage(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(*REPORT)
    alice_tab.ask("Write the report.", long_thinking=True)
    turn = Turn.objects.get()
    told = json.loads(exported(turn, "sources.json"))["passages"]
    cited = {int(number) for number in re.findall(r"\[(\d+)\]", exported(turn, "md").decode())}
    assert {entry["number"] for entry in told} == cited == {1, 2}
    for entry in told:
        row = Passage.objects.get(turn=entry["turn"], number=entry["passage"])
        assert citations.fingerprint(entry["text"]) == row.sha256 == entry["sha256"]


AGAIN = steps(
    call("search", what="town"),
    call("document", action="read", section="lake"),
    call("document", action="revise", section="lake", old="Its area", new="The area"),
    call("document", action="export", formats=["md"]),
    "text: Done again.",
)


def test_a_later_turn_goes_on_with_the_report_and_its_citations_hold(
    alice_tab: Tab, script: WriteScript
) -> None:
    script(*(Reply(step=one.step, lines=one.lines, when="Write") for one in REPORT), *AGAIN)
    alice_tab.ask("Write the report.", long_thinking=True)
    first = Turn.objects.get()
    alice_tab.ask("Mend it.", long_thinking=True, conversation=str(first.conversation_id))
    second = Turn.objects.exclude(id=first.id).get()
    # The passage that was number 1 comes second here.
    assert "Lake Orsa is 94 m deep [2]. Its area is 1,250 km2 [2]." in results(second)[1]
    assert Passage.objects.get(turn=second, number=2).text == LAKE
    text = exported(second, "md").decode()
    assert "Lake Orsa is 94 m deep [1]. The area is 1,250 km2 [1]." in text
    assert "Brenn grew to 12,400 [2]." in text


def test_a_worker_that_dies_over_an_export_leaves_one_of_each_file(
    alice: User, script: WriteScript, scripted_model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(*REPORT)
    save, deaths = step_rows.save_result, list[bytes]()

    def dying(held: Any, intent: Any, result: Any, **more: Any) -> Any:
        if "export" in intent.arguments and len(deaths) < 2:
            deaths.append(exported(held.turn, "pdf"))
            raise Killed
        return save(held, intent, result, **more)

    monkeypatch.setattr(step_rows, "save_result", dying)
    turn = ask(alice)
    assert drive_to_the_end(turn) == 2
    assert deaths == [exported(turn, "pdf")] * 2
    assert Artifact.objects.filter(turn=turn, name="documents/report.pdf").count() == 1
    assert turn.finish_reason == "stop"
    assert async_to_sync(segment.drive)(turn.id) is False


def test_a_number_worked_out_when_a_section_was_written_holds_in_a_later_turn(
    alice_tab: Tab, script: WriteScript
) -> None:
    sections = [{"id": "town", "title": "The town"}]
    written = steps(
        call("search", what="town"),
        call("calculate", expression="12400 - 11800"),
        call("document", action="outline", title="Brenn", sections=sections),
        call(
            "document",
            action="write",
            section="town",
            text="It grew by 600 people between 2010 and 2020 [1].",
        ),
        "text: Written.",
    )
    later = steps(call("document", action="check", section="town"), "text: Checked.")
    script(*(Reply(step=one.step, lines=one.lines, when="Write") for one in written), *later)
    alice_tab.ask("Write it.", long_thinking=True)
    first = Turn.objects.get()
    alice_tab.ask("Check it.", long_thinking=True, conversation=str(first.conversation_id))
    second = Turn.objects.exclude(id=first.id).get()
    assert results(second)[0].startswith("Sentences checked: 1; not borne out: 0.")


def test_a_document_that_names_a_turn_of_another_conversation_gets_nothing_of_it(
    alice_tab: Tab, script: WriteScript
) -> None:
    other = steps(call("search", what="lake"), "text: Deep.")
    later = steps(call("document", action="read", section="lake"), "text: Read.")
    script(
        *(Reply(step=one.step, lines=one.lines, when="Write") for one in REPORT),
        *(Reply(step=one.step, lines=one.lines, when="Other") for one in other),
        *later,
    )
    alice_tab.ask("Write the report.", long_thinking=True)
    first = Turn.objects.get()
    alice_tab.ask("Other", long_thinking=True)
    stranger = Turn.objects.exclude(id=first.id).get()
    kept = exported(first, "json").replace(str(first.id).encode(), str(stranger.id).encode())
    workspaces.put(first.conversation, "documents/report.json", kept)
    alice_tab.ask("Read it.", long_thinking=True, conversation=str(first.conversation_id))
    reading = Turn.objects.exclude(id__in=[first.id, stranger.id]).get()
    assert "is not kept any more: cite something else." in results(reading)[0]
    assert not Passage.objects.filter(turn=reading).exists()
