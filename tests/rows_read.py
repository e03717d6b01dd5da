"""How much of the database the ORM reads: the bytes of every text in the rows that it is given."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db.models.sql import compiler

_ID = re.compile(r"[0-9a-f]{32}")
ID_BYTES = 16  # as PostgreSQL keeps a UUID; SQLite writes it out


@dataclass
class Read:
    num_bytes: int = 0


@contextmanager
def counted() -> Iterator[Read]:
    """What is read in the meantime, whatever became of it."""
    read, whole = Read(), compiler.cursor_iter

    def watched(*given: Any) -> Iterator[Any]:
        for rows in whole(*given):
            read.num_bytes += sum(_size(value) for row in rows for value in row)
            yield rows

    compiler.cursor_iter = watched  # type: ignore[assignment]
    try:
        yield read
    finally:
        compiler.cursor_iter = whole


def _size(value: object) -> int:
    if isinstance(value, str):
        return ID_BYTES if _ID.fullmatch(value) else len(value.encode())
    return len(value) if isinstance(value, bytes) else 0
