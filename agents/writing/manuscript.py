"""A report as it is kept: a title, sections with ids that stay, and the passages that its text cites.

The text is Markdown; a citation in it is `[^key]`, whose key follows from what the passage says and where it
comes from: it means the same in every turn, while the numbers a model sees are those of its own turn.
"""

import hashlib
import re
from collections.abc import Mapping

import msgspec

from agents.citations import Passage

MAX_SECTIONS = 300
MAX_SECTION_CHARS = 30_000
MAX_TITLE_CHARS = 200
MAX_LEVEL = 3
ID = r"[\w][\w.-]{0,39}"
KEY_CHARS = 12
CITED = re.compile(rf"\[\^([0-9a-f]{{{KEY_CHARS}}})\]")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that the text cites: which one of which turn, and what it was then."""

    turn: str
    number: int
    sha256: str
    source: str
    title: str = ""
    fetched_at: str = ""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence, as it stands in the text, that nothing bears out."""

    sentence: str
    reason: str


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What a fact-check found in the text with this digest. `num_open`: sentences nobody could decide on."""

    digest: str
    doubts: tuple[Doubt, ...] = ()
    num_sentences: int = 0
    num_open: int = 0


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """`level` 1 is a chapter. `turns` are those that have worked on the text."""

    id: str
    title: str
    level: int = 1
    text: str = ""
    turns: tuple[str, ...] = ()
    check: Check | None = None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def last_check(self) -> Check | None:
        """The check of the text as it is now."""
        return self.check if self.check is not None and self.check.digest == self.digest else None

    @property
    def cited(self) -> tuple[str, ...]:
        """The keys of what it cites, in order."""
        return tuple(dict.fromkeys(CITED.findall(self.text)))


class Manuscript(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    sections: tuple[Section, ...] = ()
    sources: Mapping[str, Source] = {}

    def section(self, section_id: str) -> Section | None:
        return next((section for section in self.sections if section.id == section_id), None)

    def with_section(self, section: Section, *, after: str = "") -> "Manuscript":
        """With this section in the place of the one with its id, else behind `after`, else at the end."""
        ids = [one.id for one in self.sections]
        if section.id in ids:
            sections = [section if one.id == section.id else one for one in self.sections]
        else:
            at = ids.index(after) + 1 if after in ids else len(ids)
            sections = [*self.sections[:at], section, *self.sections[at:]]
        return msgspec.structs.replace(self, sections=tuple(sections))

    def without(self, section_id: str) -> "Manuscript":
        kept = tuple(section for section in self.sections if section.id != section_id)
        return msgspec.structs.replace(self, sections=kept)

    def citing(self, sources: Mapping[str, Source]) -> "Manuscript":
        """With these sources besides, and without those that no section cites any more."""
        cited = {key for section in self.sections for key in section.cited}
        known = {**sources, **self.sources}
        return msgspec.structs.replace(self, sources={key: known[key] for key in known if key in cited})


def key_of(passage: Passage) -> str:
    """The same for the same text of the same source, whatever its number and its turn."""
    return hashlib.sha256(f"{passage.source}\n{passage.sha256}".encode()).hexdigest()[:KEY_CHARS]


def source_of(passage: Passage, *, turn: str) -> Source:
    return Source(
        turn=turn,
        number=passage.number,
        sha256=passage.sha256,
        source=passage.source,
        title=passage.title,
        fetched_at=passage.fetched_at.isoformat() if passage.fetched_at else "",
    )


def num_words(text: str) -> int:
    """Words, a Chinese or Japanese character being one."""
    written = CITED.sub("", text)
    return len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+", written))
