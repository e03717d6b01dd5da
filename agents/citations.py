"""What an answer cites: markers such as [7] or [7, 9], each the number of a passage of the turn, and quotes,
each to be found in a passage word for word."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agents.tool import Trust

MAX_RANGE = 20  # [3-9] names seven passages; longer ranges are no citation

_NUMBER = r"\d{1,4}"
_LIST = rf"{_NUMBER}(?:\s*[,，、;–-]\s*{_NUMBER})*"
_MARKER = re.compile(rf"(?<![\\!])(?:\[\s*({_LIST})\s*\](?!\()|【\s*({_LIST})\s*】)")
_ENTRY = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
# "the list is [3]", "x = [3]": values in brackets. A citation follows what it is for.
_BEFORE_VALUES = re.compile(r"(?:=|\b(?:list|array|vector|tuple|range|returns)(?: is)?)\s*$", re.IGNORECASE)
_BEFORE_LIST = re.compile(r"\b(?:is|are|was|were|as|of)\s*$", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*$")


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A numbered piece of a source, as its tool found it. `sha256` was taken of `text` when it was kept."""

    number: int
    source: str
    text: str
    sha256: str
    title: str = ""
    call_id: str = ""
    trust: Trust = Trust.WEB
    fetched_at: datetime | None = None

    @property
    def is_intact(self) -> bool:
        """Whether the text is still the one that was kept."""
        return fingerprint(self.text) == self.sha256


class PassageSource(Protocol):
    """Where the passages of the turn at hand are."""

    async def passages(self) -> Sequence[Passage]:
        """All there are so far, by number."""
        ...


class PassagesAtHand:
    """Passages in memory."""

    def __init__(self, passages: Sequence[Passage] = ()) -> None:
        self._passages = tuple(passages)

    async def passages(self) -> Sequence[Passage]:
        return self._passages


@dataclass(frozen=True, kw_only=True)
class Marker:
    """A citation at [start, end) of the text. `may_be_values`: what stands there can as well be a list of
    numbers, so it counts as a citation only where its passages exist."""

    start: int
    end: int
    numbers: tuple[int, ...]
    may_be_values: bool = False


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def markers(text: str) -> Iterator[Marker]:
    """The citations of a text, in order. Links, footnotes and indices of a short name are none."""
    for match in _MARKER.finditer(text):
        before = text[max(0, match.start() - 40) : match.start()]
        name = _NAME.search(before)
        numbers = _numbers(match[1] or match[2])
        if numbers and not (name and len(name[0]) < 3):
            yield Marker(
                start=match.start(),
                end=match.end(),
                numbers=numbers,
                may_be_values=_may_be_values(before, numbers),
            )


def _may_be_values(before: str, numbers: tuple[int, ...]) -> bool:
    if 0 in numbers or _BEFORE_VALUES.search(before):
        return True
    return len(numbers) > 1 and _BEFORE_LIST.search(before) is not None


def _numbers(listed: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for entry in _ENTRY.finditer(listed):
        first, last = int(entry[1]), int(entry[2] or entry[1])
        if not 0 <= last - first <= MAX_RANGE:
            return ()
        numbers += range(first, last + 1)
    return tuple(dict.fromkeys(numbers))


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The passages a marker names, and the numbers that name none or one whose text was changed."""

    passages: tuple[Passage, ...]
    missing: tuple[int, ...]


def resolve(marker: Marker, passages: Mapping[int, Passage]) -> Resolved:
    found = tuple(passages[number] for number in marker.numbers if number in passages)
    intact = tuple(passage for passage in found if passage.is_intact)
    known = {passage.number for passage in intact}
    return Resolved(passages=intact, missing=tuple(n for n in marker.numbers if n not in known))


# ---- quotes

_PAIRS = (("“", "”"), ("„", "“"), ("「", "」"), ("『", "』"), ("«", "»"), ('"', '"'))
_QUOTED = re.compile(
    "|".join(f"{re.escape(a)}([^{re.escape(a + b)}\n]{{2,600}}){re.escape(b)}" for a, b in _PAIRS)
)
_LEFT_OUT = re.compile(r"\[[^\]]{0,80}\]|\(\s*(?:\.\.\.|…)\s*\)|\.{3,}|…+")
_SAME = {
    **dict.fromkeys("‘’‛`´′", "'"),
    **dict.fromkeys("“”„‟«»″「」『』", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
}
_DROPPED = re.compile(r"[\u00ad\u200b-\u200d\u2060\ufeff*_`]")
_AROUND = " \t\n.,;:!?\"'-，。；：！？、"


@dataclass(frozen=True, kw_only=True)
class Quote:
    start: int
    end: int
    text: str


def quotes(text: str) -> Iterator[Quote]:
    """What stands between quotation marks, without them."""
    for match in _QUOTED.finditer(text):
        index = match.lastindex or 1
        yield Quote(start=match.start(index), end=match.end(index), text=match[index])


def num_words(text: str) -> float:
    """How long a quote is: words, a Chinese or Japanese character being half of one."""
    num_characters = len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff]", text))
    return len(re.findall(r"[^\W\d_\u3040-\u30ff\u3400-\u9fff][\w'’-]*|\d+", text)) + num_characters / 2


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """Where the text says what is quoted, from its first word to its last, or None.

    Case, spaces, kinds of quotation marks and dashes do not matter; "…" and [words put in] stand for whatever
    was left out, and the pieces around them come in order.
    """
    pieces = [_normalised(piece)[0].strip(_AROUND) for piece in _LEFT_OUT.split(quote)]
    pieces = [piece for piece in pieces if piece]
    haystack, places = _normalised(text)
    first, at = -1, 0
    for piece in pieces:
        found = _find_whole(haystack, piece, at)
        if found < 0:
            return None
        first = found if first < 0 else first
        at = found + len(piece)
    return (places[first], places[at - 1] + 1) if pieces else None


def _find_whole(haystack: str, piece: str, at: int) -> int:
    """Where the piece stands in whole words: "art" is not in "party"."""
    starts = r"(?<![a-z0-9])" if piece[0].isascii() and piece[0].isalnum() else ""
    ends = r"(?![a-z0-9])" if piece[-1].isascii() and piece[-1].isalnum() else ""
    match = re.compile(starts + re.escape(piece) + ends).search(haystack, at)
    return match.start() if match else -1


def _normalised(text: str) -> tuple[str, list[int]]:
    """The text made comparable, and for each of its characters the place it came from."""
    characters: list[str] = []
    places: list[int] = []
    for place, raw in enumerate(text):
        if _DROPPED.match(raw):
            continue
        for folded in unicodedata.normalize("NFKC", _SAME.get(raw, raw)).casefold():
            character = _SAME.get(folded, " " if folded.isspace() else folded)
            if character == " " and (not characters or characters[-1] == " "):
                continue
            characters.append(character)
            places.append(place)
    return "".join(characters), places
