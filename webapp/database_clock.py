"""The database's clock. What several workers compare, such as leases, is written and read by this one: the
clocks of their machines may be hours apart, and may jump."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection as default_connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Func
from django.db.models.sql.compiler import SQLCompiler

_SQL = {
    # The time when the statement began, not its transaction: that may have waited for a lock since.
    "postgresql": "(STATEMENT_TIMESTAMP() + make_interval(secs => %s))",
    # In the form that times are stored in: they are compared as texts.
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f000', 'NOW', %s)",
}


class FromNow(Func):
    """The time in so many seconds, to a millisecond. A comparison with it uses the column's index."""

    output_field = DateTimeField()

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self._seconds = seconds

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, *_: Any, **_options: Any) -> Any:
        return self.sql(connection), (self.parameter(connection),)

    def sql(self, connection: BaseDatabaseWrapper) -> str:
        """With a place for the parameter."""
        return _SQL[connection.vendor]

    def parameter(self, connection: BaseDatabaseWrapper) -> float | str:
        return f"{self._seconds:+.3f} seconds" if connection.vendor == "sqlite" else self._seconds


ASKED_EVERY_S = 30.0
_read: tuple[float, datetime] | None = None  # when by the monotonic clock, and what


def now() -> datetime:
    """The database's time for a row that is written without an expression: asked for now and then, counted on
    by the monotonic clock in between, which no jump of a machine's clock moves."""
    global _read
    if _read is None or time.monotonic() - _read[0] > ASKED_EVERY_S:
        _read = time.monotonic(), _asked()
    at, read = _read
    return read + timedelta(seconds=time.monotonic() - at)


def _asked() -> datetime:
    clock = FromNow()
    with default_connection.cursor() as cursor:
        cursor.execute(f"SELECT {clock.sql(default_connection)}", [clock.parameter(default_connection)])
        said = cursor.fetchone()[0]
    return said if isinstance(said, datetime) else datetime.fromisoformat(said).replace(tzinfo=UTC)
