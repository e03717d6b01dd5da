"""Rows that are written once. The model refuses here; the database refuses by triggers, whoever asks it."""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import models


class RowIsFinal(Exception):
    """This row says what happened, and so it stays as it is."""


class AppendOnly(models.Model):
    """Rows that are written once: `save` of an existing one and `delete` are refused."""

    class Meta:
        abstract = True

    def save(self, **options: Any) -> None:
        if not self._state.adding:
            raise RowIsFinal(f"{self._meta.verbose_name} {self.pk} is never edited: add a new row.")
        super().save(**options)

    def delete(self, using: Any = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        raise RowIsFinal(f"{self._meta.verbose_name} {self.pk} is never deleted: add a new row.")


REFUSE_ON_POSTGRES = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$ LANGUAGE plpgsql
"""


def guard(table: str, columns: Sequence[str]) -> Callable[[Any, Any], None]:
    """For a migration: triggers that refuse to change these columns of the table and to delete its rows."""

    def create(_apps: Any, schema_editor: Any) -> None:
        is_postgres = schema_editor.connection.vendor == "postgresql"
        if is_postgres:
            schema_editor.execute(REFUSE_ON_POSTGRES, params=None)
        unguard(table)(_apps, schema_editor)
        whats = {"final": f"UPDATE OF {', '.join(columns)}", "kept": "DELETE"}
        for name, what in whats.items():
            when = f"CREATE TRIGGER {table}_is_{name} BEFORE {what} ON {table} FOR EACH ROW"
            if is_postgres:
                schema_editor.execute(f"{when} EXECUTE FUNCTION refuse_change()")
            else:
                schema_editor.execute(f"{when} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")

    return create


def unguard(table: str) -> Callable[[Any, Any], None]:
    """For a migration: the opposite, and what goes before each change of the table's columns, since SQLite
    makes the table anew, without its triggers."""

    def drop(_apps: Any, schema_editor: Any) -> None:
        on_table = f" ON {table}" if schema_editor.connection.vendor == "postgresql" else ""
        for name in ("final", "kept"):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_is_{name}{on_table}")

    return drop


def guard_all(table: str) -> Callable[[Any, Any], None]:
    """For a migration: refuse to empty the table at once, too, which PostgreSQL does row by row for nobody.
    SQLite has no such statement."""

    def create(_apps: Any, schema_editor: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            unguard_all(table)(_apps, schema_editor)
            schema_editor.execute(
                f"CREATE TRIGGER {table}_is_there BEFORE TRUNCATE ON {table} FOR EACH STATEMENT"
                " EXECUTE FUNCTION refuse_change()"
            )

    return create


def unguard_all(table: str) -> Callable[[Any, Any], None]:
    def drop(_apps: Any, schema_editor: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_is_there ON {table}")

    return drop
