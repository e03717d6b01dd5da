"""Writing rows without building model objects: a step of a turn is a dozen rows, and the ORM's way of writing
them would be most of what a step costs.

Takes columns by their attribute's name; fills in the models' own defaults. Signals and `save` are passed by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import connection, models
from django.utils import timezone

from webapp.database_clock import FromNow

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


@dataclass(frozen=True)
class Formula:
    """What a column is to be, said of the row's columns in SQL."""

    text: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Insert:
    """One INSERT; a row that breaks a constraint raises IntegrityError."""

    model: type[models.Model]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Update:
    """Set these columns where all of `where` is equal. A column may be set to a time that the database's
    clock shows, or to a formula."""

    model: type[models.Model]
    where: Mapping[str, Any]
    changes: Mapping[str, Any]


Write = Insert | Update


def write(*writes: Write) -> None:
    """Do these, in their order."""
    for one in writes:
        if isinstance(one, Insert):
            insert(one.model, one.rows)
        else:
            update(one.model, one.where, one.changes)


def insert(model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> None:
    """One INSERT; a row that breaks a constraint raises IntegrityError."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        _insert(model, rows[start : start + ROWS_AT_ONCE])


def update(model: type[models.Model], where: Mapping[str, Any], changes: Mapping[str, Any]) -> int:
    """As `Update`: how many rows were changed."""
    statement, values = update_sql(Update(model, where, changes))
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def update_sql(one: Update) -> tuple[str, list[Any]]:
    """The statement and what belongs into its places."""
    fields = _fields(one.model)
    values: list[Any] = []
    for name, value in one.changes.items():
        values += value.parameters if type(value) is Formula else (_stored(fields[name], value),)
    values += [_stored(fields[name], value) for name, value in one.where.items()]
    sets = tuple((name, _placeholder(value)) for name, value in one.changes.items())
    return _update_sql(one.model, sets, tuple(one.where)), values


def _insert(model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> None:
    now = timezone.now()
    fields = columns(model)
    values = [_stored(field, value_of(field, row, now)) for row in rows for field in fields]
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
    if type(value) is Formula:
        return value.text
    return value.sql(connection) if type(value) is FromNow else "%s"


def value_of(field: "models.Field[Any, Any]", row: Mapping[str, Any], now: Any) -> Any:
    """What the row says of this column, or the model's default."""
    return row[field.attname] if field.attname in row else _default(field, now)


def _default(field: "models.Field[Any, Any]", now: Any) -> Any:
    return now if getattr(field, "auto_now_add", False) else field.get_default()


@cache
def _fields(model: type[models.Model]) -> "dict[str, models.Field[Any, Any]]":
    return {field.attname: field for field in model._meta.concrete_fields}


@cache
def columns(model: type[models.Model]) -> "list[models.Field[Any, Any]]":
    """All but a key that the database counts up by itself."""
    return [field for field in _fields(model).values() if not isinstance(field, models.AutoField)]


def column(field: "models.Field[Any, Any]") -> str:
    assert field.column is not None, "concrete fields have a column"
    return field.column


@cache
def _insert_sql(model: type[models.Model], num_rows: int) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(quote(column(field)) for field in columns(model))
    row = f"({', '.join(['%s'] * len(columns(model)))})"
    table = quote(model._meta.db_table)
    return f"INSERT INTO {table} ({names}) VALUES {', '.join([row] * num_rows)}"


@cache
def _update_sql(
    model: type[models.Model], changes: tuple[tuple[str, str], ...], where: tuple[str, ...]
) -> str:
    quote = connection.ops.quote_name
    fields = _fields(model)
    sets = ", ".join(f"{quote(column(fields[name]))} = {value}" for name, value in changes)
    conditions = " AND ".join(f"{quote(column(fields[name]))} = %s" for name in where)
    return f"UPDATE {quote(model._meta.db_table)} SET {sets} WHERE {conditions}"
