"""Answers that say the same are counted together, and what is not an answer has no vote."""

from datetime import UTC, datetime

import pytest

from agents.teams import answers, evidence, merge
from agents.teams.crew import Evidence
from inference.schema import FinishReason
from tests.agents.crews import state

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def passage(number: int, source: str = "https://a.example/") -> Evidence:
    return Evidence(number=number, source=source, title="A", text=f"text of {source}", fetched_at=NOW)


@pytest.mark.parametrize(
    "alike",
    [
        ("42", "42.0", "forty-two", "**42**", "$42$", "\\boxed{42}", "The answer is 42.", "四十二"),
        ("8,849 m", "8.849 km", "8849 metres", "8849 meters."),
        ("3/4", "0.75", "$\\frac{3}{4}$", "\\dfrac{3}{4}"),
        ("-5", "\N{MINUS SIGN}5", "$-5$"),
        ("$5 million", "5,000,000 dollars", "USD 5000000"),
        ("50%", "50 percent", "50 \\%"),
        ("Paris", "  paris.", "the PARIS", "_Paris_"),
        ("November 23, 2026", "2026-11-23", "23 November 2026"),
        ("x = -2", "$x=-2$"),
        ("A", "(A)", "**A.**"),
        ("1.2e3", "1200", "1.2 × 10^3"),
    ],
)
def test_answers_that_say_the_same_are_one(alike: tuple[str, ...]) -> None:
    assert {answers.normal(answer) for answer in alike} == {answers.normal(alike[0])}
    assert answers.normal(alike[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [("42", "-42"), ("5 km", "5 miles"), ("5", "5%"), ("Paris", "London"), ("x<2", "x>2"), ("A", "B")],
)
def test_answers_that_differ_stay_apart(one: str, other: str) -> None:
    assert answers.normal(one) != answers.normal(other)


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("Long.\n\nFinal answer: 42 m", "42 m"),
        ("**Final Answer:** Paris\n", "Paris"),
        ("It is clear. Final answer: 42", "42"),
        ("I have no answer: it is unknown.\nSo it is.", ""),
        ("Final answer: 1\nNo.\nFinal answer: 2", "2"),
        ("推理。\n最终答案：五", "五"),
        ("hence \\boxed{\\frac{1}{2}} holds", "\\frac{1}{2}"),
        ("Because of this\nit is **Paris**.", "Paris"),
        ("Paris", "Paris"),
        ("An essay.\nOf two lines.", ""),
        ("", ""),
    ],
)
def test_the_final_answer_is_found_in_a_text(text: str, final: str) -> None:
    assert answers.final_answer(text) == final


def test_votes_are_counted_most_first() -> None:
    agents = [state("Final answer: 42", id=str(n)) for n in range(3)]
    agents += [state("Final answer: 41", id="x"), state("It is forty-two.", id="y")]
    first, second = merge.ballots(agents)
    assert (first.answer, first.voters) == ("42", ("0", "1", "2", "y"))
    assert (second.answer, second.num_votes) == ("41", 1)
    assert merge.has_agreed(agents, quorum=4)
    assert not merge.has_agreed(agents, quorum=5)


def test_an_agent_that_failed_or_was_stopped_has_no_vote() -> None:
    agents = [
        state("42", id="a"),
        state("41", id="b", finish_reason=FinishReason.CANCELLED),
        state("41", id="c", finish_reason=FinishReason.ERROR),
        state("  ", id="d"),
        state("41", id="e", finish_reason=None),
    ]
    assert [ballot.voters for ballot in merge.ballots(agents)] == [("a",)]


def test_works_of_their_own_agree_with_nobody() -> None:
    essays = [state(f"An essay.\nNumber {n}.", id=str(n)) for n in range(5)]
    assert [ballot.num_votes for ballot in merge.ballots(essays)] == [1] * 5
    assert not merge.has_agreed(essays, quorum=1)


def test_evidence_and_checks_decide_between_equal_votes() -> None:
    cited = state("Final answer: 41 [1]", id="cited", evidence=(passage(1),), num_supported=1)
    plain = state("Final answer: 40", id="plain")
    doubted = state("Final answer: 39", id="doubted", num_unsupported=2)
    assert [ballot.voters for ballot in merge.ballots([doubted, plain, cited])] == [
        ("cited",),
        ("plain",),
        ("doubted",),
    ]
    assert merge.weight(cited) < 2, "but no weight is another vote"


def test_what_two_agents_found_alike_is_one_passage_and_each_citation_follows_it() -> None:
    first = state("A [1] and B [2].", id="1", evidence=(passage(1), passage(2, "https://b.example/")))
    second = state("B [1], invented [9].", id="2", evidence=(passage(1, "https://b.example/"), passage(3)))
    found, places = evidence.gathered([first, second])
    assert [one.source for one in found] == ["https://a.example/", "https://b.example/"]
    assert evidence.rewritten(first, places["1"], mark="⟦{}⟧".format) == "A ⟦0⟧ and B ⟦1⟧."
    assert evidence.rewritten(second, places["2"], mark="⟦{}⟧".format) == "B ⟦1⟧, invented ."
    assert evidence.with_sources(second) == "B (source: https://b.example/), invented ."
