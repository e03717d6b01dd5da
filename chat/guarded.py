"""Writes that are done only if another one, their guard, finds its row.

PostgreSQL is told all of them in one statement, which is a transaction of its own: of each further one, the
way there and back would cost more than what it does. The server prepares it, so it looks the same however
many rows are written: those of a table travel as one JSON text.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import orjson
from django.db import connection, models, transaction
from django.utils import timezone

from chat import rows
from chat.rows import Insert, Update, Write

_ONCE_HELD = "EXISTS (SELECT 1 FROM held)"


def write_if(guard: Update, *writes: Write) -> bool:
    """Do the guard's update and then these, or nothing of it all: False, when the guard finds no row."""
    if connection.vendor == "postgresql":
        return _write_as_one(guard, writes)
    with transaction.atomic():
        if rows.update(guard.model, guard.where, guard.changes) == 0:
            return False
        rows.write(*writes)
    return True


def _write_as_one(guard: Update, writes: Sequence[Write]) -> bool:
    statement, values = rows.update_sql(guard)
    parts = [f"held AS ({statement} RETURNING 1)"]
    for place, one in enumerate(writes):
        if isinstance(one, Update):
            statement, its_values = rows.update_sql(one)
            parts.append(f"w{place} AS ({statement} AND {_ONCE_HELD})")
            values += its_values
        elif one.rows:
            parts.append(f"w{place} AS ({_insert_sql(one.model)})")
            values.append(_as_json(one))
    return _execute(f"WITH {', '.join(parts)} SELECT count(*) FROM held", values)


def _execute(statement: str, values: Sequence[Any]) -> bool:
    import psycopg  # not there without PostgreSQL

    connection.close_if_health_check_failed()
    connection.ensure_connection()
    server = cast("psycopg.Connection[Any]", connection.connection)
    # Django's own cursors put the values into the text: such a statement is never prepared.
    with connection.wrap_database_errors, psycopg.Cursor(server) as cursor:
        cursor.execute(cast(Any, statement), values)
        row = cursor.fetchone()
    return row is not None and row[0] == 1


def _as_json(one: Insert) -> str:
    now = timezone.now()
    fields = rows.columns(one.model)
    whole = [{rows.column(field): rows.value_of(field, row, now) for field in fields} for row in one.rows]
    return orjson.dumps(whole).decode()


@cache
def _insert_sql(model: type[models.Model]) -> str:
    quote = connection.ops.quote_name
    fields = rows.columns(model)
    names = ", ".join(quote(rows.column(field)) for field in fields)
    types = ", ".join(f"{quote(rows.column(field))} {_type(field)}" for field in fields)
    table = quote(model._meta.db_table)
    return (
        f"INSERT INTO {table} ({names}) SELECT {names} "
        f"FROM json_to_recordset(%s::json) AS new ({types}) WHERE {_ONCE_HELD}"
    )


def _type(field: "models.Field[Any, Any]") -> str:
    """Without what bounds it: the table's own column says that."""
    kind = field.rel_db_type(connection) if field.remote_field else field.db_type(connection)
    assert kind is not None, "concrete fields have a type"
    return "text" if kind.startswith("varchar") else kind
