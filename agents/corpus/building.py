"""The index file, written: a corpus is put in or taken out as a whole, in one transaction."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agents.corpus import words
from agents.corpus.documents import Document, Fact, passages_of
from agents.corpus.place_names import plain

SCHEMA = Path(__file__).with_name("schema.sql")

OnProgress = Callable[[int], None]  # documents so far


@dataclass(frozen=True, kw_only=True)
class Source:
    """A corpus as it comes in. Documents are read while they are written; `facts` are asked for last."""

    name: str
    origin: str
    version: str
    documents: Iterable[Document]
    facts: Callable[[], Iterable[Fact]] = tuple
    num_expected: int | None = None


@dataclass(frozen=True, kw_only=True)
class Built:
    num_documents: int
    num_passages: int
    num_facts: int


def install(path: Path, source: Source, *, on_progress: OnProgress | None = None) -> Built:
    """Put the corpus in, in place of one of the same name. What fails changes nothing."""
    with _writing(path) as connection:
        _take_out(connection, source.name)
        return _Writer(connection, source).write(on_progress or (lambda done: None))


def remove(path: Path, name: str) -> bool:
    """Take the corpus out; False where there is none of that name."""
    if not path.exists():
        return False
    with _writing(path) as connection:
        return _take_out(connection, name)


class _Writer:
    def __init__(self, connection: sqlite3.Connection, source: Source) -> None:
        self._connection = connection
        self._source = source
        self._num_documents = self._num_passages = self._num_facts = 0

    def write(self, on_progress: OnProgress) -> Built:
        source = self._source
        installed_at = datetime.now(UTC).isoformat()
        row = (source.name, source.origin, source.version, installed_at, 0, 0, 0)
        self._connection.execute("INSERT INTO corpora VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        for document in source.documents:
            self._write_document(document)
            on_progress(self._num_documents)
        for fact in source.facts():
            self._write_fact(fact)
        self._connection.execute(
            "UPDATE corpora SET num_documents = ?, num_passages = ?, num_facts = ? WHERE name = ?",
            (self._num_documents, self._num_passages, self._num_facts, source.name),
        )
        return Built(
            num_documents=self._num_documents, num_passages=self._num_passages, num_facts=self._num_facts
        )

    def _write_document(self, document: Document) -> None:
        number = self._connection.execute(
            "INSERT INTO documents (id, corpus, title, url, dated) VALUES (?, ?, ?, ?, ?)",
            (document.id, self._source.name, document.title, document.url, document.dated),
        ).lastrowid
        for section in document.sections:
            for text in passages_of(section):
                passage = self._connection.execute(
                    "INSERT INTO passages (document, heading, text) VALUES (?, ?, ?)",
                    (number, section.heading, text),
                ).lastrowid
                row = (passage, *_words_of(document.title, section.heading, text))
                self._connection.execute("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", row)
                self._num_passages += 1
        self._num_documents += 1

    def _write_fact(self, fact: Fact) -> None:
        self._connection.execute(
            "INSERT INTO facts (corpus, place, name, text, note, document) VALUES (?, ?, ?, ?, ?, ?)",
            (self._source.name, fact.place, fact.name, fact.text, fact.note, fact.document),
        )
        aliases = {plain(name) for name in (fact.place, *fact.place_names)} - {""}
        self._connection.executemany(
            "INSERT OR IGNORE INTO places VALUES (?, ?, ?)",
            [(alias, fact.place, self._source.name) for alias in aliases],
        )
        self._num_facts += 1


def _words_of(title: str, heading: str, text: str) -> tuple[str, str]:
    return words.indexed(f"{title} {heading}"), words.indexed(text)


def _take_out(connection: sqlite3.Connection, name: str) -> bool:
    old = connection.execute(
        "SELECT p.number, d.title, p.heading, p.text FROM passages p "
        "JOIN documents d ON d.number = p.document WHERE d.corpus = ?",
        (name,),
    )
    # An index without a copy of the text must be told what it held.
    connection.executemany(
        "INSERT INTO words (words, rowid, title, text) VALUES ('delete', ?, ?, ?)",
        [(row[0], *_words_of(row[1], row[2], row[3])) for row in old.fetchall()],
    )
    connection.execute(
        "DELETE FROM passages WHERE document IN (SELECT number FROM documents WHERE corpus = ?)", (name,)
    )
    for table in ("documents", "facts", "places"):
        connection.execute(f"DELETE FROM {table} WHERE corpus = ?", (name,))
    return connection.execute("DELETE FROM corpora WHERE name = ?", (name,)).rowcount > 0


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA.read_text(encoding="utf-8"))
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
