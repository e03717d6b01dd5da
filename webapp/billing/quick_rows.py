"""Rows that are written or read around every request, with statements made once: building them anew each
time takes the ORM most of a request's computing. What stands in a row stays the ORM's to say.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from django.db import connection
from django.db import transaction as transactions
from django.db.models import AutoField, Field, Model

Row = TypeVar("Row", bound=Model)
Converters = tuple[Callable[..., Any], ...]
_writing = Lock()


@contextmanager
def transaction() -> Iterator[None]:
    """A short transaction that writes. SQLite lets one at a time write, and the others sleep and look again:
    those of one process wait for each other here, and go on at once."""
    is_one_of_many = connection.features.has_select_for_update or connection.in_atomic_block
    with nullcontext() if is_one_of_many else _writing, transactions.atomic():
        yield


def insert(row: Model) -> None:
    """As a new row's `save` without signals; the caller is in a transaction."""
    statement, fields, numbers_itself = _inserting(type(row), connection.vendor)
    values = [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        if numbers_itself:
            row.pk = cursor.fetchone()[0]
    row._state.adding, row._state.db = False, connection.alias


def update(row: Model, *names: str) -> None:
    """As `save(update_fields=names)` without signals."""
    fields = [row._meta.get_field(name) for name in names]
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]  # type: ignore[union-attr]
    key = row._meta.pk.get_db_prep_value(row.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(_updating(type(row), names), [*values, key])


def read(model: type[Row], key: object, *, is_locked: bool = False) -> Row | None:
    """As `get` by primary key, or None; `is_locked`: until the transaction ends."""
    statement, names, converters = _reading(model, connection.vendor)
    if is_locked and connection.features.has_select_for_update:
        statement += " FOR UPDATE"
    with connection.cursor() as cursor:
        cursor.execute(statement, [model._meta.pk.get_db_prep_value(key, connection)])
        values = cursor.fetchone()
    if values is None:
        return None
    read = [_read(value, *way) for value, way in zip(values, converters, strict=True)]
    return model.from_db(connection.alias, names, read)


def _read(value: Any, expression: Any, converters: Converters) -> Any:
    for convert in converters:
        value = convert(value, expression, connection)
    return value


@cache
def _inserting(model: type[Model], vendor: str) -> tuple[str, Sequence["Field[Any, Any]"], bool]:
    key = model._meta.pk
    numbers_itself = isinstance(key, AutoField)
    fields = [field for field in model._meta.concrete_fields if not (field is key and numbers_itself)]
    columns = ", ".join(_column(field) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    statement = f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({places})"
    return statement + (f" RETURNING {key.column}" if numbers_itself else ""), fields, numbers_itself


@cache
def _updating(model: type[Model], names: tuple[str, ...]) -> str:
    columns = [_column(model._meta.get_field(name)) for name in names]
    changes = ", ".join(f"{column} = %s" for column in columns)
    return f"UPDATE {model._meta.db_table} SET {changes} WHERE {model._meta.pk.column} = %s"


@cache
def _reading(model: type[Model], vendor: str) -> tuple[str, list[str], list[tuple[Any, Converters]]]:
    table, fields = model._meta.db_table, model._meta.concrete_fields
    expressions = [field.get_col(table) for field in fields]
    converters = [
        (
            expression,
            (*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection)),
        )
        for expression in expressions
    ]
    columns = ", ".join(_column(field) for field in fields)
    statement = f"SELECT {columns} FROM {table} WHERE {model._meta.pk.column} = %s"
    return statement, [field.attname for field in fields], converters


def _column(field: Any) -> str:
    return connection.ops.quote_name(str(field.column))
