"""A page as the platform reads it: headings and text, nothing that a reader would not see."""

from dataclasses import dataclass

from agents.corpus.documents import Section


class Unreadable(Exception):
    """There is no text to be had; the words say why, for the model. `needs_scripts`: a browser may show
    some."""

    def __init__(self, why: str, *, needs_scripts: bool = False) -> None:
        super().__init__(why)
        self.needs_scripts = needs_scripts


class Paywalled(Unreadable):
    """The site gives it to those who pay alone."""


@dataclass(frozen=True, kw_only=True)
class Link:
    url: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """`dated` is when the page says it was published, else "". `note` tells what was left out.
    `needs_scripts`: a browser would probably show more."""

    title: str
    sections: tuple[Section, ...]
    links: tuple[Link, ...] = ()
    dated: str = ""
    note: str = ""
    needs_scripts: bool = False

    @property
    def num_chars(self) -> int:
        return sum(len(section.text) for section in self.sections)
