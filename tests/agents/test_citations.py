"""Citations: which brackets are markers, what they lead to, and whether quoted words are there."""

import pytest

from agents import citations
from tests.agents.faithfulness import FIRM, passage


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("It rose [7].", [(7,)]),
        ("It rose.[7][9]", [(7,), (9,)]),
        ("It rose [7, 9; 11].", [(7, 9, 11)]),
        ("It rose [3-5].", [(3, 4, 5)]),
        ("增长了5%【7】，下降[8、9]。", [(7,), (8, 9)]),
        ("See [7](https://example.org), a[3], x1[2], \\[7] and ![4].", []),
        ("In [1-4000] nothing is cited, nor in [year].", []),
    ],
)
def test_a_marker_names_passages_and_other_brackets_do_not(text: str, numbers: list[tuple[int, ...]]) -> None:
    found = list(citations.markers(text))
    assert [marker.numbers for marker in found] == numbers
    assert all(text[marker.start] in "[【" and text[marker.end - 1] in "]】" for marker in found)


def test_a_marker_leads_to_passages_whose_text_is_still_the_one_that_was_kept() -> None:
    kept, changed = passage(7, FIRM), passage(8, FIRM)
    changed = citations.Passage(
        number=8, source=changed.source, text=FIRM + " And more.", sha256=changed.sha256
    )
    [marker] = citations.markers("So it is [7, 8, 9].")
    resolved = citations.resolve(marker, {7: kept, 8: changed})
    assert [found.number for found in resolved.passages] == [7]
    assert resolved.missing == (8, 9)


@pytest.mark.parametrize(
    "quote",
    [
        "we will NOT raise   fares before 2026",
        '"We will not raise fares before 2026,"',
        "Its ferries … with a fleet of twelve ships",
        "Its ferries [...] twelve ships",
        "Its [many] ferries sailed 18 routes",
        "**Its ferries** sailed",
    ],
)
def test_a_quote_is_found_whatever_its_dress(quote: str) -> None:
    found = citations.find_quote(quote, FIRM)
    assert found is not None
    start, end = found
    assert FIRM[start:end][:2].lower() == quote.strip('"*“')[:2].lower()


@pytest.mark.parametrize(
    "quote",
    [
        "We will raise fares before 2026",
        "twelve ships … Its ferries",  # the other way round
        "fares before 202",  # half a number
        "erries sailed",  # half a word
        "",
        "…",
    ],
)
def test_words_that_are_not_there_are_not_found(quote: str) -> None:
    assert citations.find_quote(quote, FIRM) is None
