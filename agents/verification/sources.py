"""Everything a turn has read, as what its answer may rest on: passages, results of tools, and what the person
said."""

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from urllib.parse import unquote

from agents import citations
from agents.citations import Passage
from agents.notebook import Rollback, is_taken_back, rollback_of
from agents.transcript import CallRecord, Note, NoteKind, Transcript
from agents.verification import dates, quantities
from agents.verification.dates import Date
from agents.verification.quantities import Found, Literal, Quantity
from inference.schema import Role

# What these bring back is what the model itself wrote; `recall` does where it looks up facts by their words.
ECHOES = frozenset({"plan", "remember", "rollback", "verify_claim", "chart"})
# Of tables those of files: others are what the model wrote. Of a document what it says is just that, too.
_SAYS_AGAIN = {
    "document": re.compile(r'"action":\s*"(?:read|check)"'),
    "table": re.compile(r'^(?!.*"file":)', re.DOTALL),
}
_RECALLS_RESULT = re.compile(r'"what":\s*"[^"]*[:.][^"]*"')
CALCULATOR = "calculate"


class Source:
    """One text to compare with. `passage` or `call_id` says whose it is; neither: the person's own words."""

    def __init__(self, text: str, *, passage: int | None = None, call_id: str = "", tool: str = "") -> None:
        self.text = text
        self.passage = passage
        self.call_id = call_id
        self.tool = tool

    @cached_property
    def _found(self) -> Found:
        return quantities.find(self.text, in_words=True)

    @cached_property
    def _comparable(self) -> str:
        return _address(self.text)

    @cached_property
    def _by_size(self) -> list[tuple[float, int]]:
        """The numbers as written and in their first units, and where they stand in what was found."""
        numbers = enumerate(self._found.quantities)
        return sorted(
            {(size, at) for at, q in numbers for size in (_float(q.value), _float(q.in_first_unit))}
        )

    def _about(self, claim: Quantity) -> Iterator[Quantity]:
        """The few numbers that may agree with it."""
        for low, high in quantities.bands(claim):
            for place in range(bisect_left(self._by_size, (low, 0)), len(self._by_size)):
                size, at = self._by_size[place]
                if size > high:
                    break
                yield self._found.quantities[at]

    def says_number(self, claim: Quantity) -> bool:
        if any(quantities.agrees(claim, quantity) for quantity in self._about(claim)):
            return True
        if claim.unit is not None:
            return False
        # A year of a date, or 3.13 of version 3.13.0.
        versions = (literal.text for literal in self._found.literals)
        years = {date.year for date in self._found.dates if date.year}
        return any(claim.value == year for year in years) or any(
            version.startswith(f"{claim.text}.") for version in versions
        )

    def says_otherwise(self, claim: Quantity) -> Quantity | None:
        """The same number with another unit."""
        same = (q for q in self._about(claim) if q.value == claim.value and q.unit and claim.unit)
        return next((quantity for quantity in same if not quantities.agrees(claim, quantity)), None)

    def resembles(self, claim: Quantity) -> bool:
        """Whether the claim looks like a slip in writing one of its numbers down."""
        return any(quantities.resembles(claim, quantity) for quantity in self._found.quantities)

    def says_date(self, claim: Date) -> bool:
        return any(dates.agrees(claim, date) for date in self._found.dates)

    def says_literal(self, claim: Literal) -> bool:
        return re.search(rf"(?<![\d.:]){re.escape(claim.text)}(?![\d:]|\.\d)", self.text) is not None

    def says_words(self, quote: str) -> bool:
        return citations.find_quote(quote, self.text) is not None

    def names(self, address: str) -> bool:
        return _address(address) in self._comparable

    @property
    def is_chinese(self) -> bool:
        return re.search(r"[\u3040-\u30ff\u3400-\u9fff]", self.text) is not None


class Sources:
    """`results` are those that brought no passages: what a passage says is found in the passage alone. What a
    rollback took back is no source."""

    def __init__(self, transcript: Transcript, passages: Iterable[Passage]) -> None:
        rollbacks = [_rollback(note) for note in transcript.notes if note.kind is NoteKind.ROLLBACK]
        numbers = (step.number for step in transcript.steps)
        self.undone_steps = frozenset(number for number in numbers if is_taken_back(number, rollbacks))
        undone = (step for step in transcript.steps if step.number in self.undone_steps)
        taken_back = {call.call.id for step in undone for call in step.calls}
        self.stored: Mapping[int, Passage] = {
            passage.number: passage for passage in passages if passage.call_id not in taken_back
        }
        intact = (passage for passage in self.stored.values() if passage.is_intact)
        self.passages = {passage.number: _passage(passage) for passage in intact}
        with_passages = {passage.call_id for passage in self.stored.values() if passage.call_id}
        kept = (call for call in transcript.calls() if call.call.id not in taken_back)
        calls = [call for call in kept if _is_evidence(call)]
        self.results = [_result(call) for call in calls if call.call.id not in with_passages]
        self.results += [Source(note.text) for note in transcript.notes if note.kind is NoteKind.TEAM]
        self._all_results = [_result(call) for call in calls if call.call.id in with_passages]
        told = [message for message in transcript.opening if message.role in (Role.USER, Role.TOOL)]
        self.said = Source("\n".join(message.content for message in told))
        self.opening = "\n".join(message.content for message in transcript.opening)
        self.used_tools = any(True for _ in transcript.calls())
        self.worked_out = [source for source in self.results if source.tool == CALCULATOR]
        self.asked_to_work_out = Source("\n".join(call.call.arguments for call in calls if _calculates(call)))

    def anywhere(self) -> Iterator[Source]:
        """Every source, the likeliest first."""
        yield from self.results
        yield from self.passages.values()
        yield self.said
        yield self.asked_to_work_out

    def that_name(self, address: str) -> bool:
        return any(source.names(address) for source in (*self.anywhere(), *self._all_results))


def _float(value: Fraction) -> float:
    try:
        return abs(float(value))
    except OverflowError:
        return math.inf


def _rollback(note: Note) -> Rollback:
    return rollback_of(step=note.step, data=note.data)


def _passage(passage: Passage) -> Source:
    return Source(f"{passage.title}\n{passage.text}\n{passage.source}", passage=passage.number)


def _is_evidence(call: CallRecord) -> bool:
    if call.result is None or call.result.is_error or call.call.name in ECHOES:
        return False
    says_again = _SAYS_AGAIN.get(call.call.name)
    if says_again is not None and says_again.search(call.call.arguments):
        return False
    return call.call.name != "recall" or _RECALLS_RESULT.search(call.call.arguments) is not None


def _result(call: CallRecord) -> Source:
    assert call.result is not None
    return Source(call.result.for_model, call_id=call.call.id, tool=call.call.name)


def _calculates(call: CallRecord) -> bool:
    return call.call.name == CALCULATOR


def _address(text: str) -> str:
    """Addresses in the text without what does not change where they lead."""
    plain = re.sub(r"https?://(?:www\.)?", "//", unquote(text).lower())
    return re.sub(r"#\S*|/(?=\s|$|[)\]>\"'])", "", plain)
