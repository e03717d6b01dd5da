"""The check of an answer: the faithfulness set, and how rules and judge share the work."""

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from agents import verification
from agents.citations import PassagesAtHand
from agents.transcript import Note, NoteKind
from agents.verification import Verifier, drafts, was_sent_back
from inference.schema import ChatMessage, Role
from tests.agents import faithfulness
from tests.agents.faithfulness import CASES, Case, check, right, transcript_of, wrong

BAD = ("unsupported", "contradicted")


def rows_of(note: Note | None, answer: str, piece: str) -> list[dict[str, object]]:
    """What the check lists of the sentences that hold the piece, or that it holds."""
    listed = note.data["sentences"] if note else []
    texts = [(answer[row["start"] : row["end"]], row) for row in listed]
    return [row for text, row in texts if piece in text or text in piece]


async def shipped_unmarked(cases: Sequence[Case], *, judges: bool) -> list[str]:
    marks = (*BAD, "unchecked") if judges else (*BAD, "unchecked", "uncited")
    found = []
    for case in cases:
        note, _ = await check(case, judges=judges)
        for piece in case.wrong:
            rows = rows_of(note, case.answer, piece)
            if not any(row["verdict"] in marks for row in rows):
                found.append(f"{case.name}: {piece}")
    return found


async def false_alarms(cases: Sequence[Case], *, judges: bool, verdicts: Sequence[str]) -> list[str]:
    found = []
    for case in cases:
        note, _ = await check(case, judges=judges)
        rows = note.data["sentences"] if note and not case.wrong else []
        alarms = [row for row in rows if row["verdict"] in verdicts]
        found += [f"{case.name}: {row['verdict']} {row['reason']}" for row in alarms]
    return found


@pytest.mark.parametrize("judges", [True, False])
async def test_no_sentence_without_support_is_shipped_unmarked(
    judges: bool, record_property: Callable[[str, object], None]
) -> None:
    num_wrong = sum(len(case.wrong) for case in CASES)
    record_property("wrong sentences", num_wrong)
    assert num_wrong >= 30
    assert await shipped_unmarked(CASES, judges=judges) == []


async def test_right_sentences_raise_no_alarm() -> None:
    assert sum(not case.wrong for case in CASES) >= 30
    assert await false_alarms(CASES, judges=False, verdicts=BAD) == []
    assert await false_alarms(CASES, judges=True, verdicts=(*BAD, "unchecked")) == []


async def test_what_rules_can_tell_is_sent_back_without_a_judge() -> None:
    told_by_rules = [case for case in CASES if case.wrong and not case.judge and not case.obeys]
    assert len(told_by_rules) >= 25
    kept = []
    for case in told_by_rules:
        note, judge = await check(case, judges=False)
        assert judge.asked == []
        if note is None or not note.data["must_revise"] or not note.text:
            kept.append(case.name)
    assert kept == []


async def test_a_wrong_sentence_is_merely_unchecked_only_where_the_judge_cannot_be_trusted() -> None:
    unchecked = []
    for case in CASES:
        note, _ = await check(case, judges=True)
        rows = [row for piece in case.wrong for row in rows_of(note, case.answer, piece)]
        if rows and not any(row["verdict"] in BAD for row in rows):
            unchecked += [row["fault"] for row in rows]
    assert len(unchecked) <= 4
    assert set(unchecked) <= {"judge_unproved", "judge_steered"}


def with_a_digit_changed(answer: str) -> Iterator[tuple[str, str]]:
    """The answer with each digit of each number in turn made another one, and the sentence it stands in."""
    for sentence in verification.split(answer):
        for digit in re.finditer(r"(?<![\w-])[\d,.]*\d", sentence.plain):
            for at in range(sentence.start + digit.start(), sentence.start + digit.end()):
                if answer[at].isdigit():
                    changed = f"{answer[:at]}{(int(answer[at]) + 3) % 10}{answer[at + 1 :]}"
                    yield changed, changed[sentence.start : sentence.end]


async def test_one_changed_digit_is_found_wherever_it_is() -> None:
    missed, num_changed = [], 0
    named = {
        "names with digits",
        "numbered rows",
        "parts that are counted",
        "numbers that count places",
        "the person's own number",
        "a list of sources",
    }
    for case in CASES:
        if case.wrong or case.judge or case.name in named or not case.stored():
            continue
        for answer, sentence in with_a_digit_changed(case.answer):
            note, _ = await check(replace(case, answer=answer), judges=False)
            num_changed += 1
            is_found = any(row["verdict"] in BAD for row in rows_of(note, answer, sentence))
            if not is_found and "2026" not in sentence:  # which the source says, of something else
                missed.append(sentence)
    assert num_changed >= 80
    assert not missed, missed


async def test_an_answer_of_a_turn_without_tools_and_citations_is_not_checked() -> None:
    case = right("plain", "The sky is 4,711 km blue, as everybody knows.", passages={})
    note, judge = await check(case, judges=True)
    assert (note, judge.asked) == (None, [])


async def test_a_turn_that_only_calculates_may_know_numbers_of_its_own() -> None:
    results = (("calculate", '{"expression": "6 * 7"}', "42"),)
    case = right("own", "It is 42. Light travels 299,792 km in a second.", passages={}, results=results)
    note, _ = await check(case, judges=False)
    assert note is not None
    assert [row["verdict"] for row in note.data["sentences"]] == ["supported", "unchecked"]
    assert note.data["must_revise"] is False


async def test_brackets_of_an_earlier_answer_are_no_citations_of_this_one() -> None:
    results = (("calculate", "{}", "42"),)
    earlier = "You said that Norda grew [3]. What is 6 times 7?"
    case = right("earlier", "As said [3], it is 42.", passages={}, results=results, question=earlier)
    note, _ = await check(case, judges=False)
    assert note is not None
    assert note.data["num_unsupported"] == 0


async def test_the_note_names_each_sentence_to_mend_and_where_it_stands() -> None:
    case = wrong("two", "Norda has 19 harbours [7]. It has 18 routes [7]. It sails to Rome [42].")
    note, _ = await check(case, judges=False)
    assert note is not None
    assert "19" in note.text
    assert "[42]" in note.text
    assert "18 routes" not in note.text
    bad = [row for row in note.data["sentences"] if row["verdict"] in BAD]
    texts = [case.answer[row["start"] : row["end"]] for row in bad]
    assert texts == ["Norda has 19 harbours [7].", "It sails to Rome [42]."]
    assert (note.kind, note.step, note.data["num_unsupported"]) == (NoteKind.CHECK, 2, 2)


async def test_an_answer_is_sent_back_twice_and_then_marked() -> None:
    case = wrong("stubborn", "Norda has 19 harbours [7].")
    transcript = transcript_of(case)
    verifier = Verifier(PassagesAtHand(case.stored()), judges=False)
    judge = faithfulness.ScriptedJudge(case)
    outcomes = []
    for number in range(2, 5):
        transcript.steps[-1].number = number
        note = await verifier.check(transcript, ask=judge, may_revise=True)
        assert note is not None
        transcript.notes.append(note)
        outcomes.append((note.data["must_revise"], was_sent_back(transcript), bool(note.text)))
        assert note.data["sentences"][0]["verdict"] == "unsupported"
    assert outcomes == [(True, True, True), (True, True, True), (False, False, False)]
    assert drafts(transcript.notes) == {2, 3}


async def test_a_forced_answer_is_marked_and_not_sent_back() -> None:
    note, _ = await check(wrong("forced", "Norda has 19 harbours [7]."), judges=False, may_revise=False)
    assert note is not None
    assert (note.data["must_revise"], note.data["num_unsupported"]) == (False, 1)


async def test_a_source_that_was_taken_back_is_none() -> None:
    case = right("taken back", "Norda has 18 routes [7].")
    transcript = transcript_of(case)
    verifier = Verifier(PassagesAtHand(case.stored()), judges=False)
    judge = faithfulness.ScriptedJudge(case)
    before = await verifier.check(transcript, ask=judge, may_revise=True)
    transcript.notes.append(Note(step=1, kind=NoteKind.ROLLBACK, text="Wrong.", data={"to_step": 0}))
    after = await verifier.check(transcript, ask=judge, may_revise=True)
    assert before is not None
    assert after is not None
    assert (before.data["num_unsupported"], after.data["num_unsupported"]) == (0, 1)


async def test_what_is_wrong_beside_earlier_calls_is_marked_too() -> None:
    case = right("beside", "Norda has 18 routes [7].")
    transcript = transcript_of(case)
    transcript.steps[0].content = "I have read that Norda has 77 routes [7]."
    verifier = Verifier(PassagesAtHand(case.stored()), judges=False)
    note = await verifier.check(transcript, ask=faithfulness.ScriptedJudge(case), may_revise=True)
    assert note is not None
    [row] = [row for row in note.data["sentences"] if row["verdict"] in BAD]
    assert (row["step"], note.data["must_revise"]) == (1, False)


@pytest.mark.parametrize(
    "hostile",
    [
        "(1+" * 20_000,
        "[1" * 20_000,
        '"' * 30_000,
        "1 = " * 10_000,
        "> " * 30_000,
        "`" * 30_000,
        "百" * 30_000,
    ],
)
async def test_no_answer_takes_the_check_long(hostile: str) -> None:
    began = time.monotonic()
    await check(right("hostile", f"It is so [7]. {hostile}"), judges=False)
    assert time.monotonic() - began < 10


async def test_numbers_are_found_in_a_long_turns_results() -> None:
    draw = random.Random(7)
    texts = [
        " ".join(f"Port {draw.random():.9f} has {draw.randint(10**5, 10**6)} tonnes." for _ in range(40))
    ]
    results = tuple(("look", "{}", text) for text in texts * 100)
    number = texts[0].rpartition("has ")[2].split()[0]
    case = right("long turn", f"The last one has {int(number):,} tonnes.", passages={}, results=results)
    note, _ = await check(case, judges=False)
    assert note is not None
    assert note.data["num_supported"] == 1


PIECES = (
    *(
        "1,234.5",
        "9" * 400,
        "1e999",
        "×10^999",
        "3×10^-999",
        " = ",
        " ≈ ",
        " + ",
        " × ",
        "/0",
        "^",
        "!",
        "(",
        ")",
    ),
    *(
        "[7]",
        "[7, 99]",
        "【8】",
        "[1-3]",
        "12 March 2024",
        "2024-13-45",
        "百分之",
        "三千万亿",
        "%",
        " km²",
        " °C",
    ),
    *(
        "$",
        "€",
        "“",
        "”",
        '"',
        "「",
        "」",
        "> ",
        "\n",
        "\n\n",
        "|",
        "|---|---|",
        "# ",
        "- ",
        "```",
        "`",
        "<b>",
    ),
    *(
        "https://example.org/7",
        "[a](http://x.y)",
        "Sources:",
        "word",
        "中文",
        "。",
        ". ",
        "? ",
        "...",
        "1990s",
    ),
    *(
        "half a million",
        "twenty-five",
        "0.0",
        "-5",
        "$$",
        "\\times",
        "²",
        "١٢",
        "½",
        "\0",
        "\u200b",
        "1/3",
        "5!!",
    ),
)


async def test_whatever_an_answer_holds_it_is_checked_and_its_places_are_in_it() -> None:
    draw = random.Random(11)
    for _ in range(400):
        answer, result = ("".join(draw.choices(PIECES, k=draw.randint(1, 30))) for _ in range(2))
        passages: dict[int, str] | None = {} if draw.random() < 0.5 else None
        case = Case(name="any", answer=answer, results=(("calculate", "{}", result),), passages=passages)
        note, _ = await check(case, judges=draw.random() < 0.3)
        rows = note.data["sentences"] if note else []
        assert all(0 <= row["start"] < row["end"] <= len(answer) for row in rows), answer
        assert json.dumps(rows)


async def test_what_the_model_said_before_is_no_source_and_what_tools_brought_before_is() -> None:
    case = right("continued", "It has 4,711 rooms. It has 815 doors.", passages={8: faithfulness.LAKE})
    transcript = transcript_of(case)
    transcript.opening = (
        ChatMessage(role=Role.ASSISTANT, content="It has 4,711 rooms."),
        ChatMessage(role=Role.TOOL, content="815 doors", tool_call_id="functions.look:0", name="look"),
        ChatMessage(role=Role.USER, content="Go on."),
    )
    verifier = Verifier(PassagesAtHand(case.stored()), judges=False)
    note = await verifier.check(transcript, ask=faithfulness.ScriptedJudge(case), may_revise=True)
    assert note is not None
    assert [row["verdict"] for row in note.data["sentences"]] == ["unsupported", "uncited"]
