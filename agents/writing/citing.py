"""Citations between the numbers that a model sees in its turn and the keys that a manuscript keeps."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from agents import verification
from agents.citations import Passage
from agents.transcript import Transcript
from agents.writing import manuscript
from agents.writing.manuscript import CITED, Source


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A text with keys for numbers, and what they stand for. `missing` are numbers that name no passage whose
    text is whole: such a text is not to be kept."""

    text: str
    sources: Mapping[str, Source]
    missing: tuple[int, ...]


def kept(text: str, passages: Mapping[int, Passage], *, turn: str, known: Mapping[str, Source]) -> Kept:
    """The text of a turn as a manuscript keeps it. Code and lists of values are left alone."""
    sources = {key: known[key] for key in CITED.findall(text) if key in known}
    missing: list[int] = []
    markers = [marker for sentence in verification.split(text) for marker in sentence.markers]
    for marker in sorted(markers, key=lambda marker: -marker.start):
        absent = [n for n in marker.numbers if n not in passages or not passages[n].is_intact]
        if absent:
            missing += [] if marker.may_be_values else absent
            continue
        found = {manuscript.key_of(passages[n]): passages[n] for n in marker.numbers}
        sources |= {key: manuscript.source_of(passage, turn=turn) for key, passage in found.items()}
        marks = "".join(f"[^{key}]" for key in found)
        text = f"{text[: marker.start]}{marks}{text[marker.end :]}"
    return Kept(text=text, sources=sources, missing=tuple(dict.fromkeys(reversed(missing))))


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What a turn of the same conversation has read and done."""

    passages: Sequence[Passage]
    transcript: Transcript


# By the turn's id; None where there is no such turn in this conversation.
EarlierTurns = Callable[[str], Awaitable[Earlier | None]]


class Numbering:
    """The numbers of the turn at hand for keys. Passages of earlier turns that it lacks are `brought`: they
    take the next numbers once the call's result is kept. `lost` are keys whose passage is not kept as it
    was."""

    def __init__(self, here: Sequence[Passage]) -> None:
        self._here = {manuscript.key_of(passage): passage.number for passage in here if passage.is_intact}
        self._first = max((passage.number for passage in here), default=0) + 1
        self._brought: dict[str, Passage] = {}
        self.lost: list[str] = []

    @property
    def brought(self) -> tuple[Passage, ...]:
        """With the numbers that they will have if nothing else is read meanwhile."""
        return tuple(self._brought.values())

    async def bring(self, sources: Mapping[str, Source], earlier: EarlierTurns) -> None:
        for key, source in sources.items():
            if key in self._here or key in self._brought:
                continue
            passage = await _found(key, source, earlier)
            if passage is None:
                self.lost.append(key)
            else:
                # Its call belongs to another turn, whose calls are named alike.
                number = self._first + len(self._brought)
                self._brought[key] = replace(passage, number=number, call_id="")

    def number(self, key: str) -> str | None:
        """As in [7], with the number it will have."""
        if key in self._here:
            return f"[{self._here[key]}]"
        return f"[{self._brought[key].number}]" if key in self._brought else None

    def mark(self, key: str) -> str | None:
        """As in [7], or with the mark that becomes its number when the result is kept."""
        if key in self._here:
            return f"[{self._here[key]}]"
        return f"⟦{list(self._brought).index(key)}⟧" if key in self._brought else None


async def _found(key: str, source: Source, earlier: EarlierTurns) -> Passage | None:
    turn = await earlier(source.turn)
    same = (one for one in (turn.passages if turn else ()) if manuscript.key_of(one) == key)
    return next((one for one in same if one.is_intact), None)


# ---- back to a model's numbers


@dataclass(frozen=True, kw_only=True)
class Numbered:
    """A kept text as a model reads it. `places` tell where each of its pieces begins, there and as kept."""

    text: str
    places: tuple[tuple[int, int], ...]

    def kept_at(self, place: int) -> int:
        """The place in the text as it is kept. One inside a citation counts as its beginning."""
        here, there = next(pair for pair in reversed(self.places) if pair[0] <= place)
        following = next((pair for pair in self.places if pair[0] > here), None)
        return there + place - here if following is None else min(there + place - here, following[1])


def numbered(text: str, name_of: Callable[[str], str | None]) -> Numbered:
    """The text with what `name_of` makes of each key, such as [7]; what it makes nothing of stays."""
    pieces: list[str] = []
    places = [(0, 0)]
    at = length = 0
    for match in CITED.finditer(text):
        name = name_of(match[1]) or match[0]
        pieces += [text[at : match.start()], name]
        length += match.start() - at
        places.append((length, match.start()))
        at, length = match.end(), length + len(name)
        places.append((length, at))
    pieces.append(text[at:])
    return Numbered(text="".join(pieces), places=tuple(places))
