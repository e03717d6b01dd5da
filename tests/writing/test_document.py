"""Documents: written piece by piece, cited, checked, revised in later turns."""

import json

import pytest

from agents.tool import Fault, Trust
from agents.writing.manuscript import MAX_SECTION_CHARS
from tests.writing.study import LAKE, Study, passage

SECTIONS = [{"id": "lake", "title": "The lake"}, {"id": "town", "title": "The town"}]


async def begun(study: Study) -> None:
    await study.document("outline", title="Orsa", sections=SECTIONS)
    await study.document("write", section="lake", text="Lake Orsa is 94 m deep [1].")


async def test_a_section_is_read_back_as_it_was_written(study: Study) -> None:
    await begun(study)
    result = await study.document("read", section="lake")
    assert result.for_model == "lake: The lake\n\nLake Orsa is 94 m deep [1]."
    assert result.passages == ()


async def test_the_outline_tells_how_far_each_section_is_without_its_text(study: Study) -> None:
    await begun(study)
    lines = (await study.document("read")).for_model.splitlines()
    assert lines == [
        "Orsa",
        "lake  The lake (6 words, 1 cited, not checked)",
        "town  The town (empty)",
    ]


async def test_writing_a_section_again_changes_nothing_more(study: Study) -> None:
    await begun(study)
    before = study.read("documents/report.json")
    again = await study.document("write", section="lake", text="Lake Orsa is 94 m deep [1].")
    assert not again.is_error
    assert study.read("documents/report.json") == before


async def test_a_new_section_stands_where_it_is_asked_to(study: Study) -> None:
    await begun(study)
    await study.document("write", section="shore", title="Its shore", text="Sand.", after="lake", level=2)
    lines = (await study.document("read")).for_model.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["lake", "shore", "town"]


async def test_words_are_replaced_once_and_again_without_harm(study: Study) -> None:
    await begun(study)
    for _ in range(2):
        change = {"old": "is 94 m deep", "new": "reaches down to 94 m"}
        result = await study.document("revise", section="lake", **change)
        assert not result.is_error
    assert "Lake Orsa reaches down to 94 m [1]." in (await study.document("read", section="lake")).for_model
    gone = await study.document("revise", section="lake", old="not there", new="nor there")
    assert gone.fault is Fault.BAD_ARGUMENTS


async def test_a_citation_of_nothing_is_refused_and_changes_nothing(study: Study) -> None:
    await begun(study)
    result = await study.document("write", section="lake", text="It is old [7].")
    assert result.for_model == "Not kept: [7] is no passage of this turn. Cite what you have read."
    assert "94 m" in (await study.document("read", section="lake")).for_model


async def test_code_and_lists_of_values_are_no_citations(study: Study) -> None:
    await begun(study)
    text = "The list is [3].\n\n```python\nrows[1]\n```"
    assert not (await study.document("write", section="town", text=text)).is_error
    assert (await study.document("read", section="town")).for_model.endswith(text)


async def test_a_later_turn_reads_citations_by_its_own_numbers(study: Study) -> None:
    await begun(study)
    study.turn("two", passage(1, "Something else entirely."))
    result = await study.document("read", section="lake")
    assert result.for_model.endswith("Lake Orsa is 94 m deep [2].")
    assert [new.text for new in result.passages] == [LAKE]
    assert result.trust is Trust.WEB
    again = await study.document("read", section="lake")
    assert again.for_model == result.for_model
    assert again.passages == ()


async def test_a_later_turn_revises_beside_citations_of_an_earlier_one(study: Study) -> None:
    await begun(study)
    study.turn("two", passage(1, "Orsa was surveyed in 1987.", source="https://example.org/survey"))
    await study.document("read", section="lake")
    result = await study.document(
        "revise", section="lake", old="deep [2].", new="deep [2], says the survey [1]."
    )
    assert not result.is_error
    kept = json.loads(study.read("documents/report.json"))
    assert sorted((one["turn"], one["number"]) for one in kept["sources"].values()) == [
        ("one", 1),
        ("two", 1),
    ]


async def test_a_passage_that_is_not_kept_as_it_was_is_said_to_be_lost(study: Study) -> None:
    await begun(study)
    study.turns["one"][0] = passage(1, LAKE.replace("94", "49"))
    study.turn("two")
    result = await study.document("read", section="lake")
    assert "is not kept any more" in result.for_model
    assert result.passages == ()


async def test_a_wrong_number_is_found_and_a_right_one_is_not(study: Study) -> None:
    await begun(study)
    await study.document(
        "write", section="lake", text="Lake Orsa is 49 m deep [1]. Its area is 1,250 km2 [1]."
    )
    found = await study.document("check", section="lake")
    assert found.for_model.splitlines()[0] == "Sentences checked: 2; not borne out: 1."
    assert "“Lake Orsa is 49 m deep [1].” 49 m is in none of its sources" in found.for_model
    assert "1 not borne out" in (await study.document("read")).for_model
    await study.document("revise", section="lake", old="49 m", new="94 m")
    assert "not checked" in (await study.document("read")).for_model
    assert "not borne out: 0" in (await study.document("check", section="lake")).for_model


async def test_a_later_turn_checks_against_the_passages_of_the_turn_that_wrote(study: Study) -> None:
    await begun(study)
    study.turn("two", passage(1, "Something else entirely."))
    found = await study.document("check", section="lake")
    assert found.for_model == "Sentences checked: 1; not borne out: 0."


async def test_sections_with_texts_are_not_lost_by_a_new_outline(study: Study) -> None:
    await begun(study)
    refused = await study.document("outline", title="Orsa", sections=SECTIONS[1:])
    assert "lake have texts" in refused.for_model
    await study.document("outline", title="Orsa, anew", sections=SECTIONS[::-1])
    lines = (await study.document("read")).for_model.splitlines()
    assert [line.split()[0] for line in lines] == ["Orsa,", "town", "lake"]
    await study.document("remove", section="lake")
    assert not (await study.document("outline", title="Orsa", sections=SECTIONS[1:])).is_error


async def test_going_back_a_step_takes_the_section_back(study: Study) -> None:
    await begun(study)
    step = study.step
    await study.document("write", section="lake", text="A wrong turn.")
    study.workspace.restore(step, at_step=study.step + 1)
    assert "94 m" in (await study.document("read", section="lake")).for_model


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"action": "read", "name": "other"}, "There is no document 'other'"),
        ({"action": "write", "section": "lake"}, "The action write needs text."),
        ({"action": "write", "section": "new", "text": "x"}, "give a new one a title"),
        ({"action": "write", "section": "lake", "text": "![x](https://e.org/x.png)"}, "no picture or table"),
        ({"action": "write", "section": "lake", "text": "![x](../../etc/x.png)"}, "no picture or table"),
        (
            {"action": "write", "section": "lake", "text": "![x](figures/x.png)"},
            "there is no file figures/x.png",
        ),
        ({"action": "check", "section": "sea"}, "There is no section 'sea'"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_what_to_do(
    study: Study, call: dict[str, str], said: str
) -> None:
    await begun(study)
    result = await study.document(**call)
    assert result.fault is Fault.BAD_ARGUMENTS
    assert said in result.for_model


async def test_a_file_that_code_has_spoilt_is_no_document(study: Study) -> None:
    await begun(study)
    study.workspace.put("documents/report.json", b'{"title": 5}')
    result = await study.document("read")
    assert "was changed by something else" in result.for_model


async def test_thirty_chapters_are_never_all_in_view(study: Study) -> None:
    sections = [{"id": f"ch-{number}", "title": f"Chapter {number}"} for number in range(30)]
    await study.document("outline", title="A long one", sections=sections)
    for number in range(30):
        text = f"Fact {number}: the lake is 94 m deep [1]. " * 500
        assert not (
            await study.document("write", section=f"ch-{number}", text=text[:MAX_SECTION_CHARS])
        ).is_error
    outline = await study.document("read")
    assert len(outline.for_model) < 3_000
    assert len(study.read("documents/report.json")) > 500_000
