"""The judge of an answer: what it is asked, how it is understood, and how far it is trusted."""

import json
from collections.abc import Sequence

import pytest

from agents.citations import PassagesAtHand
from agents.steps.asking import Asked, AskFailed
from agents.verification import Verifier
from agents.verification import judge as judging
from inference.schema import ChatMessage
from tests.agents import faithfulness
from tests.agents.faithfulness import Line, check, right, transcript_of, wrong


async def test_a_long_answer_costs_few_calls() -> None:
    answer = " ".join(f"Orsa freezes again in year {number} of them [8]." for number in range(1, 41))
    note, judge = await check(right("long", answer, passages={8: faithfulness.LAKE}), judges=True)
    assert note is not None
    assert len(judge.asked) <= judging.MAX_CALLS
    assert note.data["judge_calls"] == len(judge.asked)


async def test_beyond_the_most_calls_sentences_are_said_to_be_unchecked() -> None:
    answer = " ".join(f"Orsa freezes over in the winter of lake{letter * 3} [8]." for letter in LETTERS * 4)
    note, judge = await check(right("endless", answer), judges=True)
    assert note is not None
    assert len(judge.asked) == judging.MAX_CALLS
    assert note.data["num_unchecked"] >= 104 - judging.MAX_CALLS * judging.MAX_SENTENCES


LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("reply", ["", "I think so.", "{", '{"verdicts": [{"id": 1}]}', "[" * 5_000])
async def test_a_reply_that_is_no_verdict_counts_as_not_checked(reply: str) -> None:
    async def ask(messages: Sequence[ChatMessage], *, max_tokens: int) -> Asked:
        return Asked(text=reply)

    case = right("mute", "Orsa ices over in the cold season [8].")
    verifier = Verifier(PassagesAtHand(case.stored()), judges=True)
    note = await verifier.check(transcript_of(case), ask=ask, may_revise=True)
    assert note is not None
    [row] = note.data["sentences"]
    assert (row["verdict"], row["fault"], note.data["must_revise"]) == ("unchecked", "judge_silent", False)


async def test_a_judge_that_cannot_be_asked_stops_nothing() -> None:
    async def ask(messages: Sequence[ChatMessage], *, max_tokens: int) -> Asked:
        raise AskFailed("no money")

    case = wrong("no judge", "Orsa ices over [8]. It is 49 m deep [8].")
    verifier = Verifier(PassagesAtHand(case.stored()), judges=True)
    note = await verifier.check(transcript_of(case), ask=ask, may_revise=True)
    assert note is not None
    assert (note.data["num_unsupported"], note.data["must_revise"]) == (1, True)


async def test_what_a_rule_found_wrong_no_judge_clears() -> None:
    supported = Line(of="49", verdict="supported", evidence="94 metres deep at its deepest point")
    note, judge = await check(wrong("kind judge", "Orsa is 49 m deep [8].", supported), judges=True)
    assert note is not None
    assert note.data["num_unsupported"] == 1
    assert judge.asked == [], "it is not even asked"


@pytest.mark.parametrize(
    "reply",
    [
        '{"verdicts": [{"id": 1, "verdict": "supported"}, {"id": 2, "verdict": "not supported", "why": "no"}'
        "]}",
        '```json\n[{"id": "1", "verdict": "Supported"}, {"id": 2, "verdict": "NOT_SUPPORTED", "why": "no"}]'
        "\n```",
        'So:\n{"id": 1, "verdict": "supported"}\n{"id": 2, "verdict": "unsupported", "why": "no"}',
        '{"1": "supported", "2": {"verdict": "not-supported", "why": "no"}}',
    ],
)
def test_verdicts_are_read_however_they_are_wrapped(reply: str) -> None:
    found = judging.parse(reply)
    assert [(number, str(ruling.verdict)) for number, ruling in sorted(found.items())] == [
        (1, "supported"),
        (2, "unsupported"),
    ]
    assert found[2].why == "no"


def test_a_sentence_ruled_twice_is_not_ruled() -> None:
    twice = [{"id": 1, "verdict": "not supported"}, {"id": 1, "verdict": "supported"}]
    assert judging.parse(json.dumps(twice)) == {}


async def test_the_judge_sees_passages_between_marks_that_nobody_can_guess() -> None:
    case = right("marks", "Orsa ices over in the cold season [8].")
    _, judge = await check(case, judges=True)
    _, again = await check(case, judges=True)
    marks = [asked[0][-1].content.split(" ", 1)[0] for asked in (judge.asked, again.asked)]
    assert marks[0] != marks[1]
    assert all(len(mark) == 16 for mark in marks)
    assert marks[0] in judge.asked[0][0].content, "the instructions name the mark"
