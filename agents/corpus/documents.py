"""What a corpus is made of: documents in sections, and facts. Knows no file format and no database."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

PASSAGE_CHARS = 1_200
_BREAK = re.compile(r"\n\s*\n|\n|(?<=[.!?])\s+|(?<=[。！？])")


@dataclass(frozen=True, kw_only=True)
class Section:
    heading: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """`id` begins with the corpus's name and names the document for ever; `url` is where its text comes from;
    `dated` is when it was published, as its source says it. A lower `weight` than 1 puts it behind others
    that say the same."""

    id: str
    title: str
    sections: tuple[Section, ...]
    url: str = ""
    dated: str = ""
    weight: float = 1.0

    @property
    def text(self) -> str:
        parts = (
            f"{section.heading}\n{section.text}" if section.heading else section.text
            for section in self.sections
        )
        return "\n\n".join(parts)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A value of a place. `name` is a path: "Geography / Area / total"; `document` is the one that says
    it."""

    place: str
    name: str
    text: str
    document: str
    note: str = ""
    place_names: tuple[str, ...] = field(default=())


def passages_of(section: Section, *, max_chars: int = PASSAGE_CHARS) -> Iterator[str]:
    """The section in pieces of at most so many characters, cut between paragraphs, else between sentences."""
    piece = ""
    for part in _parts(section.text, max_chars):
        if piece and len(piece) + len(part) > max_chars:
            yield piece.strip()
            piece = ""
        piece += part
    if piece.strip():
        yield piece.strip()


def _parts(text: str, max_chars: int) -> Iterator[str]:
    at = 0
    for found in _BREAK.finditer(text):
        if found.end() > at:
            yield from _short(text[at : found.end()], max_chars)
            at = found.end()
    yield from _short(text[at:], max_chars)


def _short(part: str, max_chars: int) -> Iterator[str]:
    for at in range(0, len(part), max_chars):
        yield part[at : at + max_chars]
