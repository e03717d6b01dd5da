"""Turns that are longer than their model's window, through the loop."""

from dataclasses import replace

import msgspec
import pytest

from agents.limits import Limit, Limits
from agents.notebook import InMemoryNotebook
from agents.steps import guard
from agents.steps.loop import Outcome
from agents.tooling.toolset import Toolset
from agents.tools.memory import Recall, Remember
from agents.transcript import NoteKind
from inference.schema import ChatMessage, FinishReason, Role
from tests.agents.reading import PASSWORD, UNKNOWN, Book, Habit, Mind, Reader
from tests.agents.stage import Stage
from tests.agents.transcripts import quarters

WINDOW = 32_768
QUESTION = ChatMessage(role=Role.USER, content="Read the book to its end. What was the password?")
LONG = Limits(max_steps=300, max_seconds=60, max_reasoning_tokens=2_000, max_output_tokens=10_000_000)


class Reading:
    """A reader at work on a book, in a window of its own size."""

    def __init__(
        self,
        habit: Habit = "remembers",
        *,
        num_chapters: int = 220,
        window: int = WINDOW,
        book: Book | None = None,
        question: ChatMessage = QUESTION,
        can_sum_up: bool = True,
        mind: Mind | None = None,
    ) -> None:
        self.reader = Reader(mind or Mind(num_chapters, habit), context_tokens=window, can_sum_up=can_sum_up)
        self.stage = Stage(backend=self.reader, limits=LONG, opening=(question,))
        notebook = InMemoryNotebook(self.stage.progress.transcript)
        self.stage.setting = replace(
            self.stage.setting,
            toolset=Toolset([book or Book(), Remember(notebook), Recall(notebook)]),
            notebook=notebook,
            context_tokens=window,
            count_tokens=quarters,
            guard=guard.advice,
        )

    async def outcome(self) -> Outcome:
        end = await self.stage.drive(max_steps=400)
        assert isinstance(end, Outcome)
        return end

    @property
    def answer(self) -> str:
        return self.stage.kept.replies[-1].content

    def num_notes(self, kind: NoteKind) -> int:
        return sum(note.kind is kind for note in self.stage.kept.notes)


@pytest.mark.parametrize(
    ("habit", "can_sum_up"), [("remembers", True), ("remembers", False), ("copies", True)]
)
async def test_a_fact_of_step_3_is_still_known_after_five_compactions(habit, can_sum_up):
    reading = Reading(habit, can_sum_up=can_sum_up)
    assert (await reading.outcome()).finish_reason is FinishReason.STOP
    assert reading.answer == f"It is {PASSWORD}."
    assert reading.num_notes(NoteKind.HANDOFF) >= 5
    assert reading.num_notes(NoteKind.HIDDEN) >= 5
    assert len(reading.stage.kept.replies) > 220


async def test_a_reader_that_keeps_nothing_no_longer_knows_it():
    """The proof that the others answer from what they kept."""
    reading = Reading("forgets")
    await reading.outcome()
    assert reading.answer == UNKNOWN


async def test_requests_share_nine_tenths_with_the_one_before_except_after_a_compaction():
    reading = Reading(num_chapters=80)
    await reading.outcome()
    shares = [shared(first, second) for first, second in _pairs(reading)]
    compacted = {
        note.step + 1 for note in reading.stage.kept.notes if note.kind in (NoteKind.HIDDEN, NoteKind.HANDOFF)
    }
    low = [step for step, share in enumerate(shares, start=2) if share < 0.9]
    assert set(low) <= compacted
    assert sum(shares) / len(shares) > 0.8


async def test_one_result_larger_than_the_window_does_not_end_the_turn():
    reading = Reading(num_chapters=6, book=Book(num_words=40_000))
    assert (await reading.outcome()).finish_reason is FinishReason.STOP
    last = reading.reader.requests[-1].messages
    assert any("functions.read:2" in message.content for message in last), "it can be had back by its id"


async def test_results_that_fill_the_window_again_and_again_cost_few_further_calls():
    reading = Reading("forgets", num_chapters=60, book=Book(num_words=20_000))
    assert (await reading.outcome()).finish_reason is FinishReason.STOP
    assert len(reading.reader.requests) == 61
    assert reading.reader.num_handoffs <= 21


async def test_a_question_larger_than_the_window_is_answered_as_far_as_it_is_read():
    question = ChatMessage(role=Role.USER, content="What was the password? " * 10_000)
    reading = Reading(question=question)
    outcome = await reading.outcome()
    assert (outcome.finish_reason, outcome.limit) == (FinishReason.LENGTH, Limit.CONTEXT)
    assert reading.answer == UNKNOWN
    assert len(reading.reader.requests) == 1


@pytest.mark.parametrize("window", [2_048, 4_096, 8_192])
async def test_small_windows_are_kept_within(window):
    mind = Mind(num_chapters=30, habit="remembers", num_words=10)
    reading = Reading(mind=mind, window=window, book=Book(num_words=100))
    reading.stage.setting = replace(reading.stage.setting, reply_tokens=256)
    assert (await reading.outcome()).finish_reason is FinishReason.STOP
    assert reading.answer == f"It is {PASSWORD}."


def _pairs(reading: Reading) -> list[tuple[bytes, bytes]]:
    sent = [msgspec.json.encode(request.messages).removesuffix(b"]") for request in reading.reader.requests]
    return list(zip(sent, sent[1:], strict=False))


def shared(first: bytes, second: bytes) -> float:
    """The common beginning, as a share of the first."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == second[:middle] else (low, middle - 1)
    return low / len(first)
