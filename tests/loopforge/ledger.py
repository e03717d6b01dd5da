"""The world outside: a file that records every attempt and every effect of the test tools by its key.

It lies outside the platform's database, so that it cannot be rolled back with it: what stands here has
happened.
"""

import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "FORGE_LEDGER"
TABLES = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS attempt (id INTEGER PRIMARY KEY, tool TEXT, key TEXT, pid INTEGER);
CREATE TABLE IF NOT EXISTS effect (id INTEGER PRIMARY KEY, tool TEXT, key TEXT, result TEXT);
CREATE INDEX IF NOT EXISTS effect_key ON effect (key);
CREATE INDEX IF NOT EXISTS attempt_key ON attempt (key);
"""
_own = threading.local()


@dataclass(frozen=True, kw_only=True)
class Tally:
    """`repeats`: attempts beyond the first of their key. `doubled`: effects beyond the first of their key,
    which must never be."""

    attempts: int
    effects: int
    repeats: int
    doubled: int


class Ledger:
    """Usable from any process and thread; each write is on its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of_environment(cls) -> "Ledger":
        return cls(Path(os.environ[VARIABLE]))

    def note_attempt(self, tool: str, key: str) -> int:
        """How many there are of this key now."""
        with self._connection() as connection:
            values = (tool, key, os.getpid())
            connection.execute("INSERT INTO attempt (tool, key, pid) VALUES (?, ?, ?)", values)
            row = connection.execute("SELECT count(*) FROM attempt WHERE key = ?", (key,)).fetchone()
        return int(row[0])

    def note_effect(self, tool: str, key: str, result: str, *, once: bool) -> None:
        """`once`: as a service that knows keys does it, nothing happens the second time."""
        guard = "WHERE NOT EXISTS (SELECT 1 FROM effect WHERE key = ?2)" if once else ""
        with self._connection() as connection:
            connection.execute(
                f"INSERT INTO effect (tool, key, result) SELECT ?1, ?2, ?3 {guard}", (tool, key, result)
            )

    def result_of(self, key: str) -> str | None:
        """What the effect of this key brought, if it happened."""
        rows = self._connection().execute("SELECT result FROM effect WHERE key = ?", (key,)).fetchall()
        return str(rows[0][0]) if rows else None

    def num_attempts(self, tool: str) -> int:
        return self._count("attempt", tool)

    def num_effects(self, tool: str) -> int:
        return self._count("effect", tool)

    def _count(self, table: str, tool: str) -> int:
        row = self._connection().execute(f"SELECT count(*) FROM {table} WHERE tool = ?", (tool,)).fetchone()
        return int(row[0])

    def tally(self, *, key_prefix: str = "") -> Tally:
        connection, like = self._connection(), (f"{key_prefix}%",)
        attempts, keys = connection.execute(
            "SELECT count(*), count(DISTINCT key) FROM attempt WHERE key LIKE ?", like
        ).fetchone()
        effects, effect_keys = connection.execute(
            "SELECT count(*), count(DISTINCT key) FROM effect WHERE key LIKE ?", like
        ).fetchone()
        return Tally(
            attempts=attempts, effects=effects, repeats=attempts - keys, doubled=effects - effect_keys
        )

    def _connection(self) -> sqlite3.Connection:
        kept: dict[Path, sqlite3.Connection] = _own.__dict__.setdefault("kept", {})
        if self._path not in kept:
            kept[self._path] = sqlite3.connect(self._path, timeout=20, isolation_level=None)
            kept[self._path].executescript(TABLES)
        return kept[self._path]
