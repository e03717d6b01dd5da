"""The index file, read: search, documents by their id, what is installed. Readers never wait for a build."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agents.corpus import words
from agents.corpus.building import EDITION
from agents.corpus.documents import Document, Section

FIRST_BY_RANK = 50
PASSAGES_OF_A_DOCUMENT = 2
# Of a word in the title, the heading, the place (the name of its manual and file), the text.
WEIGHTS = (3.0, 3.0, 1.0, 1.0)


class NoIndex(Exception):
    """Nothing has been installed on this machine."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    name: str
    origin: str
    version: str
    installed_at: datetime
    num_documents: int
    num_passages: int
    num_facts: int


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage that has words of the query; a higher `score` is a better one."""

    document: str
    title: str
    url: str
    heading: str
    text: str
    dated: str
    installed_at: datetime
    score: float


_SEARCH = """
SELECT d.id, d.title, d.url, p.heading, p.text, d.dated, c.installed_at, found.score * d.weight AS worth
FROM (
    SELECT rowid AS number, -bm25(words, ?, ?, ?, ?) AS score FROM words WHERE words MATCH ?
    ORDER BY bm25(words, ?, ?, ?, ?) LIMIT ?
) AS found
JOIN passages p ON p.number = found.number
JOIN documents d ON d.number = p.document
JOIN corpora c ON c.name = d.corpus
ORDER BY worth DESC, p.number
"""


class Index:
    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def version(self) -> str:
        """Another one after each change of what is installed; "" while nothing is."""
        try:
            return " ".join(f"{c.name}={c.version}@{c.installed_at.isoformat()}" for c in self.corpora())
        except NoIndex:
            return ""

    def corpora(self) -> list[Corpus]:
        """What is installed, by name. Raises NoIndex."""
        with self.opened() as connection:
            rows = connection.execute(
                "SELECT name, origin, version, installed_at, num_documents, num_passages, num_facts "
                "FROM corpora ORDER BY name"
            ).fetchall()
        return [
            Corpus(
                name=row[0],
                origin=row[1],
                version=row[2],
                installed_at=datetime.fromisoformat(row[3]),
                num_documents=row[4],
                num_passages=row[5],
                num_facts=row[6],
            )
            for row in rows
        ]

    def search(self, query: str, *, within: str = "", limit: int = 8) -> list[Hit]:
        """The best passages, at most two of a document and each text once. `within` is how a document's id or
        URL begins: the name of a corpus, or a part of one. Raises NoIndex."""
        asked = words.query(query)
        if not asked:
            return []
        # What is asked of a part of the index alone may lie behind what the rest has to say.
        most = FIRST_BY_RANK * 20 if within else FIRST_BY_RANK
        with self.opened() as connection:
            rows = connection.execute(_SEARCH, (*WEIGHTS, asked, *WEIGHTS, most)).fetchall()
        return list(_chosen(rows, within=within.strip().rstrip("/"), limit=limit))

    def document(self, document_id: str) -> tuple[Document, datetime] | None:
        """The document of this id, or of this URL, and when it was installed; None where there is none."""
        with self.opened() as connection:
            row = connection.execute(
                "SELECT d.number, d.id, d.title, d.url, d.dated, c.installed_at "
                "FROM documents d JOIN corpora c ON c.name = d.corpus "
                "WHERE d.id = ? OR (d.url = ? AND d.url != '') "
                "ORDER BY d.id = ? DESC LIMIT 1",
                (document_id, document_id, document_id),
            ).fetchone()
            if row is None:
                return None
            passages = connection.execute(
                "SELECT heading, text FROM passages WHERE document = ? ORDER BY number", (row[0],)
            ).fetchall()
        sections = tuple(Section(heading=heading, text=text) for heading, text in passages)
        found = Document(id=row[1], title=row[2], url=row[3], dated=row[4], sections=_joined(sections))
        return found, datetime.fromisoformat(row[5])

    def document_ids(self, corpus: str) -> list[tuple[str, str]]:
        """The id and title of each document of the corpus, by id."""
        with self.opened() as connection:
            asked = "SELECT id, title FROM documents WHERE corpus = ? ORDER BY id"
            return connection.execute(asked, (corpus,)).fetchall()

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write. Raises NoIndex."""
        if not self.path.exists():
            raise NoIndex("Nothing is installed: run `manage.py corpus install factbook`, or give a folder.")
        # One a call: what opens in a thread of Celery closes there, and a replaced file is seen at once.
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as connection:
            if connection.execute("PRAGMA user_version").fetchone() != (EDITION,):
                raise NoIndex("The index is of another edition of the platform: install its corpora again.")
            yield connection


def _chosen(
    rows: list[tuple[str, str, str, str, str, str, str, float]], *, within: str, limit: int
) -> Iterator[Hit]:
    taken: dict[str, int] = {}
    seen: set[str] = set()
    for row in rows:
        if within and not (_is_below(row[0], within) or _is_below(row[2], within)):
            continue
        if row[4] in seen:  # manuals say the same in several places
            continue
        seen.add(row[4])
        taken[row[0]] = taken.get(row[0], 0) + 1
        if taken[row[0]] > PASSAGES_OF_A_DOCUMENT:
            continue
        if limit <= 0:
            return
        limit -= 1
        installed_at = datetime.fromisoformat(row[6])
        yield Hit(
            document=row[0],
            title=row[1],
            url=row[2],
            heading=row[3],
            text=row[4],
            dated=row[5],
            installed_at=installed_at,
            score=row[7],
        )


def _is_below(name: str, within: str) -> bool:
    host = name.partition("://")[2] or name
    return any(face == within or face.startswith(f"{within}/") for face in (name, host))


def _joined(sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """Passages of one heading are one section again."""
    joined: list[Section] = []
    for section in sections:
        if joined and joined[-1].heading == section.heading:
            joined[-1] = Section(heading=section.heading, text=f"{joined[-1].text}\n{section.text}")
        else:
            joined.append(section)
    return tuple(joined)
