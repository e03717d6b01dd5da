"""Writing rows without building model objects: a step of a turn is a dozen rows, and the ORM's way of writing
them would be most of what a step costs.

Takes columns by their attribute's name; fills in the models' own defaults. Signals and `save` are passed by.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connection, models
from django.utils import timezone

from chat.clock import FromNow

ROWS_AT_ONCE = 50
_PLAIN = {str, int, bool, type(None)}
_PLAIN_FIELDS = {
    models.CharField,
    models.TextField,
    models.BooleanField,
    models.IntegerField,
    models.BigIntegerField,
    models.PositiveIntegerField,
    models.PositiveSmallIntegerField,
    models.PositiveBigIntegerField,
}


def insert(model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> None:
    """One INSERT; a row that breaks a constraint raises IntegrityError."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        _insert(model, rows[start : start + ROWS_AT_ONCE])


def update(model: type[models.Model], where: Mapping[str, Any], changes: Mapping[str, Any]) -> int:
    """Set these columns where all of `where` is equal: how many rows were changed. A time to be set may be
    one that the database's clock shows."""
    fields = _fields(model)
    values = [_stored(fields[name], value) for name, value in (*changes.items(), *where.items())]
    sets = tuple((name, _placeholder(value)) for name, value in changes.items())
    with connection.cursor() as cursor:
        cursor.execute(_update_sql(model, sets, tuple(where)), values)
        return int(cursor.rowcount)


def _insert(model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> None:
    now = timezone.now()
    columns = _columns(model)
    values = [
        _stored(field, row[name] if name in row else _default(field, now))
        for row in rows
        for name, field in columns
    ]
    with connection.cursor() as cursor:
        cursor.execute(_insert_sql(model, len(rows)), values)


def _stored(field: "models.Field[Any, Any]", value: Any) -> Any:
    # Both databases take these as they are: asking the field for each would take longer than writing them.
    if type(field) in _PLAIN_FIELDS and type(value) in _PLAIN:
        return value
    if type(value) is FromNow:
        return value.parameter(connection)
    return field.get_db_prep_save(value, connection)


def _placeholder(value: Any) -> str:
    return value.sql(connection) if type(value) is FromNow else "%s"


def _default(field: "models.Field[Any, Any]", now: Any) -> Any:
    return now if getattr(field, "auto_now_add", False) else field.get_default()


@cache
def _fields(model: type[models.Model]) -> "dict[str, models.Field[Any, Any]]":
    return {field.attname: field for field in model._meta.concrete_fields}


@cache
def _columns(model: type[models.Model]) -> "list[tuple[str, models.Field[Any, Any]]]":
    """All but a key that the database counts up by itself."""
    return [item for item in _fields(model).items() if not isinstance(item[1], models.AutoField)]


def _column(field: "models.Field[Any, Any]") -> str:
    assert field.column is not None, "concrete fields have a column"
    return field.column


@cache
def _insert_sql(model: type[models.Model], num_rows: int) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(_column(field)) for _, field in _columns(model))
    row = f"({', '.join(['%s'] * len(_columns(model)))})"
    table = quote(model._meta.db_table)
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * num_rows)}"


@cache
def _update_sql(
    model: type[models.Model], changes: tuple[tuple[str, str], ...], where: tuple[str, ...]
) -> str:
    quote = connection.ops.quote_name
    fields = _fields(model)
    sets = ", ".join(f"{quote(_column(fields[name]))} = {value}" for name, value in changes)
    conditions = " AND ".join(f"{quote(_column(fields[name]))} = %s" for name in where)
    return f"UPDATE {quote(model._meta.db_table)} SET {sets} WHERE {conditions}"
