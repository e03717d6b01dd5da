"""The index file, written: a corpus is put in or taken out as a whole, in one transaction. What has not
changed since the last time stays as it is."""

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
EDITION = 2  # of the schema, and of how text becomes words

OnProgress = Callable[[int], None]  # documents so far
Row = tuple[int, str]  # a document's number and its stamp


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A document that is read only when its stamp is another than the last time. `read` gives None for what
    is left out."""

    id: str
    stamp: str
    read: Callable[[], Document | None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A corpus as it comes in. Documents and entries are read while they are written; `facts` are asked for
    last."""

    name: str
    origin: str
    version: str
    documents: Iterable[Document] = ()
    entries: Iterable[Entry] = ()
    facts: Callable[[], Iterable[Fact]] = tuple
    num_expected: int | None = None


@dataclass(frozen=True, kw_only=True)
class Built:
    """`num_kept` are those of the documents that were there already."""

    num_documents: int
    num_passages: int
    num_facts: int
    num_kept: int = 0


def install(path: Path, source: Source, *, on_progress: OnProgress | None = None) -> Built:
    """Put the corpus in, in place of one of the same name. What fails changes nothing."""
    with _writing(path) as connection:
        return _Writer(connection, source).write(on_progress or (lambda done: None))


def remove(path: Path, name: str) -> bool:
    """Take the corpus out; False where there is none of that name."""
    if not path.exists():
        return False
    with _writing(path) as connection:
        for number, _ in _documents_of(connection, name).values():
            _forget(connection, number)
        _forget_facts(connection, name)
        return connection.execute("DELETE FROM corpora WHERE name = ?", (name,)).rowcount > 0


class _Writer:
    def __init__(self, connection: sqlite3.Connection, source: Source) -> None:
        self._connection = connection
        self._source = source
        self._old = _documents_of(connection, source.name)
        self._num_documents = self._num_facts = self._num_kept = 0

    def write(self, on_progress: OnProgress) -> Built:
        source = self._source
        row = (source.name, source.origin, source.version, datetime.now(UTC).isoformat(), 0, 0, 0)
        self._connection.execute("INSERT OR REPLACE INTO corpora VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        for document in source.documents:
            self._put(document, stamp="")
            on_progress(self._num_documents)
        for entry in source.entries:
            self._take(entry)
            on_progress(self._num_documents)
        for number, _ in self._old.values():
            _forget(self._connection, number)
        _forget_facts(self._connection, source.name)
        for fact in source.facts():
            self._write_fact(fact)
        return self._counted()

    def _take(self, entry: Entry) -> None:
        old = self._old.get(entry.id)
        if old is not None and entry.stamp and old[1] == entry.stamp:
            del self._old[entry.id]
            self._num_documents += 1
            self._num_kept += 1
        elif (document := entry.read()) is not None:
            self._put(document, stamp=entry.stamp)

    def _put(self, document: Document, *, stamp: str) -> None:
        if (old := self._old.pop(document.id, None)) is not None:
            _forget(self._connection, old[0])
        number = self._connection.execute(
            "INSERT INTO documents (id, corpus, title, url, dated, weight, stamp) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(document.id, self._source.name, document.title, document.url, document.dated),
                *(document.weight, stamp),
            ),
        ).lastrowid
        for section in document.sections:
            for text in passages_of(section):
                passage = self._connection.execute(
                    "INSERT INTO passages (document, heading, text) VALUES (?, ?, ?)",
                    (number, section.heading, text),
                ).lastrowid
                row = (passage, *words.columns(document.id, document.title, section.heading, text))
                self._connection.execute(
                    "INSERT INTO words (rowid, title, heading, place, text) VALUES (?, ?, ?, ?, ?)", row
                )
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

    def _counted(self) -> Built:
        (num_passages,) = self._connection.execute(
            "SELECT count(*) FROM passages WHERE document IN (SELECT number FROM documents WHERE corpus = ?)",
            (self._source.name,),
        ).fetchone()
        self._connection.execute(
            "UPDATE corpora SET num_documents = ?, num_passages = ?, num_facts = ? WHERE name = ?",
            (self._num_documents, num_passages, self._num_facts, self._source.name),
        )
        return Built(
            num_documents=self._num_documents,
            num_passages=num_passages,
            num_facts=self._num_facts,
            num_kept=self._num_kept,
        )


def _documents_of(connection: sqlite3.Connection, name: str) -> dict[str, Row]:
    rows = connection.execute("SELECT id, number, stamp FROM documents WHERE corpus = ?", (name,))
    return {row[0]: (row[1], row[2]) for row in rows}


def _forget(connection: sqlite3.Connection, number: int) -> None:
    old = connection.execute(
        "SELECT p.number, d.id, d.title, p.heading, p.text FROM passages p "
        "JOIN documents d ON d.number = p.document WHERE d.number = ?",
        (number,),
    )
    # An index without a copy of the text must be told what it held.
    connection.executemany(
        "INSERT INTO words (words, rowid, title, heading, place, text) VALUES ('delete', ?, ?, ?, ?, ?)",
        [(row[0], *words.columns(*row[1:])) for row in old.fetchall()],
    )
    connection.execute("DELETE FROM passages WHERE document = ?", (number,))
    connection.execute("DELETE FROM documents WHERE number = ?", (number,))


def _forget_facts(connection: sqlite3.Connection, name: str) -> None:
    for table in ("facts", "places"):
        connection.execute(f"DELETE FROM {table} WHERE corpus = ?", (name,))


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            _prepare(connection)
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _prepare(connection: sqlite3.Connection) -> None:
    """The tables, empty where those of another edition were: what they hold cannot be used."""
    (edition,) = connection.execute("PRAGMA user_version").fetchone()
    if edition != EDITION:
        for table in ("words", "corpora", "documents", "passages", "places", "facts"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute(f"PRAGMA user_version = {EDITION}")
    # Not as a script, which would commit first.
    for statement in SCHEMA.read_text(encoding="utf-8").split(";\n"):
        connection.execute(statement)
