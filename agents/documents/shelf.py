"""Documents to look things up in: one index file for each set of them, made when it is first asked for. They
never change, so the file is a cache: it may be deleted at any time.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agents.corpus import building, words
from agents.corpus.building import Source
from agents.corpus.documents import Document, Section
from agents.corpus.index import Index
from agents.documents.extraction import Part

NAME = "uploads"
TITLE_WEIGHT, TEXT_WEIGHT = 2.0, 1.0
_BETWEEN = " · "
_PAGE = re.compile(r"p\. (\d+)")
_SEARCH = """
SELECT d.number, p.number, p.heading, p.text, -bm25(words, ?, ?) AS score
FROM words JOIN passages p ON p.number = words.rowid JOIN documents d ON d.number = p.document
WHERE words MATCH ? AND (? = 0 OR d.number = ?)
ORDER BY score DESC, p.number LIMIT ?
"""
_PARTS = "SELECT number, heading, text FROM passages WHERE document = ? ORDER BY number LIMIT ? OFFSET ?"


@dataclass(frozen=True, kw_only=True)
class Shelved:
    """A document by the name people know it by. `source` is what its passages cite, `parts` reads all of
    them."""

    name: str
    source: str
    at: datetime
    num_parts: int
    parts: Callable[[], Iterable[Part]]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A part, number `number` of its document."""

    document: Shelved
    number: int
    place: str
    heading: str
    text: str

    @property
    def title(self) -> str:
        return f"{self.document.name}, {self.place}"


class Shelf:
    """Blocking: for a thread."""

    def __init__(self, path: Path, documents: Sequence[Shelved]) -> None:
        self.documents = tuple(documents)
        self._index = Index(path)

    def named(self, name: str) -> Shelved | None:
        """The document that is meant, however its name is written."""
        wanted = name.strip().removeprefix(f"{NAME}/").casefold()
        same = [one for one in self.documents if one.name.casefold() == wanted]
        near = [one for one in self.documents if wanted and wanted in one.name.casefold()]
        return next(iter(same or (near if len(near) == 1 else ())), None)

    def search(self, query: str, *, document: Shelved | None = None, limit: int = 6) -> list[Found]:
        """The parts that have words of the query, best first."""
        asked = words.query(query)
        if not asked:
            return []
        self._make()
        number = self.documents.index(document) + 1 if document else 0
        weights = (TITLE_WEIGHT, TEXT_WEIGHT)
        with self._index.opened() as connection:
            rows = connection.execute(_SEARCH, (*weights, asked, number, number, limit)).fetchall()
            firsts = dict(connection.execute("SELECT document, MIN(number) FROM passages GROUP BY document"))
        return [
            _found(self.documents[holder - 1], passage - firsts[holder] + 1, heading, text)
            for holder, passage, heading, text, _score in rows
        ]

    def read(self, document: Shelved, *, first: int, num: int) -> list[Found]:
        """So many parts, from number `first` on."""
        self._make()
        number = self.documents.index(document) + 1
        with self._index.opened() as connection:
            rows = connection.execute(_PARTS, (number, num, first - 1)).fetchall()
        return [_found(document, first + at, row[1], row[2]) for at, row in enumerate(rows)]

    def part_of_page(self, document: Shelved, page: int) -> int | None:
        """The first part of that page, or of the next one that has text; None where nothing has pages."""
        self._make()
        number = self.documents.index(document) + 1
        with self._index.opened() as connection:
            asked = "SELECT heading FROM passages WHERE document = ? ORDER BY number"
            rows = connection.execute(asked, (number,)).fetchall()
        for at, (heading,) in enumerate(rows, 1):
            found = _PAGE.match(heading)
            if found and int(found[1]) >= page:
                return at
        return None

    def _make(self) -> None:
        """Whoever makes it at the same time makes the same."""
        path = self._index.path
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
        try:
            # In their order, so that a document's number is its place among them.
            documents = (_indexed(number, one) for number, one in enumerate(self.documents, 1))
            building.install(draft, Source(name=NAME, origin="", version="1", documents=documents))
            draft.replace(path)
        finally:
            for left in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm")):
                with suppress(FileNotFoundError):
                    left.unlink()


def _indexed(number: int, shelved: Shelved) -> Document:
    sections = tuple(
        Section(
            heading=f"{part.place}{_BETWEEN}{part.heading}" if part.heading else part.place, text=part.text
        )
        for part in shelved.parts()
    )
    return Document(id=f"{NAME}/{number}", title=shelved.name, sections=sections)


def _found(document: Shelved, number: int, heading: str, text: str) -> Found:
    place, _, heading = heading.partition(_BETWEEN)
    return Found(document=document, number=number, place=place, heading=heading, text=text)
