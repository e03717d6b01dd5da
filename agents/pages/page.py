"""A page as the platform reads it: headings and text, nothing that a reader would not see."""

from dataclasses import dataclass

from agents.corpus.documents import Section


class Unreadable(Exception):
    """There is no text to be had; the words say why, for the model."""


@dataclass(frozen=True, kw_only=True)
class Link:
    url: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """`dated` is when the page says it was published, else "". `note` tells what was left out."""

    title: str
    sections: tuple[Section, ...]
    links: tuple[Link, ...] = ()
    dated: str = ""
    note: str = ""

    @property
    def num_chars(self) -> int:
        return sum(len(section.text) for section in self.sections)
