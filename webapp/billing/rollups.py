"""Usage summed up by hour and by day, once they are over: pages read days, however many requests there were.

An hour is summed up when it is PATIENCE past, so that what was being written then is in it; a day, of its
hours, when its last one is. Each step is one transaction with the row that says how far it is, so a death in
between loses and repeats nothing. A record that comes later still (a worker's clock may lag) is found by its
number and put in by `mend`.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, Func, Min, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

from webapp.billing.models import FIRST_TOKEN_WITHIN_MS, Rollup, UsageDay, UsageHour, UsageRecord

PATIENCE = timedelta(minutes=5)
AT_ONCE = timedelta(days=1)
LATE = timedelta(days=2)  # how far back an hour's work looks for late records; the night's looks further
LATE_AT_NIGHT = timedelta(days=40)
GROUP = ("user_id", "api_key_id", "project_id", "model_id", "source", "currency")

_TOKENS = ("input_uncached_tokens", "input_cached_tokens", "output_tokens", "reasoning_tokens")
_SUMMED = (*_TOKENS, "num_steps", "num_tool_calls", "cost_nano", "fees_nano")
_TIMES = tuple(f"first_token_within_{bound}_ms" for bound in FIRST_TOKEN_WITHIN_MS)

# What is asked of records, and the same of hours and days.
SUMS: dict[str, Any] = {
    "num_records": Count("id"),
    "num_errors": Count("id", filter=Q(finish_reason="error")),
    "num_timed": Count("id", filter=Q(first_token_ms__isnull=False)),
    "first_token_ms_sum": Coalesce(Sum("first_token_ms"), 0),
    "duration_ms_sum": Coalesce(Sum("duration_ms"), 0),
    **{f"{name}_sum": Sum(name) for name in _SUMMED},
}
SUMS_OF_SUMS: dict[str, Any] = {
    **{name: Sum(name) for name in ("num_records", "num_errors", "num_timed")},
    **{f"{name}_sum": Sum(name) for name in ("first_token_ms", "duration_ms", *_SUMMED)},
}
# How many first tokens came within each bound, and not within the one before.
TIMES: dict[str, Any] = {
    name: Count("id", filter=Q(first_token_ms__gt=above, first_token_ms__lte=bound))
    for name, above, bound in zip(_TIMES, (-1, *FIRST_TOKEN_WITHIN_MS), FIRST_TOKEN_WITHIN_MS, strict=False)
}
TIMES_OF_SUMS: dict[str, Any] = {name: Sum(name) for name in _TIMES}


def standing() -> Rollup | None:
    """How far it is; None: nothing is summed up that can be read."""
    return Rollup.objects.filter(time_zone=_zone()).first()


def roll_up(*, now: datetime | None = None) -> int:
    """Sum up every hour and day that is over: how many rows of hours were written. Safe to run twice at
    once."""
    until = hour_of((now or timezone.now()) - PATIENCE)
    num_rows, is_new = 0, False
    while True:
        with transaction.atomic():
            row = _locked()
            if row is None or row.done_before >= until:
                break
            end = min(row.done_before + AT_ONCE, until)
            num_rows += _sum_hours(row.done_before, end)
            row.done_before, is_new = end, True
            _sum_days(row)
            row.save()
    if is_new:
        mend(LATE)
    return num_rows


def mend(reach: timedelta) -> int:
    """Sum up the hours anew whose records became more since: how many."""
    with transaction.atomic():
        row = _locked()
        if row is None:
            return 0
        since = hour_of(row.done_before - reach)
        span = {"gte": since, "lt": row.done_before}
        records = UsageRecord.objects.filter(**{f"created_at__{name}": at for name, at in span.items()})
        hours = UsageHour.objects.filter(**{f"hour__{name}": at for name, at in span.items()})
        said = dict(_by_hour(records).annotate(num=Count("id")).values_list("at", "num"))
        summed = dict(hours.order_by().values_list("hour").annotate(num=Sum("num_records")))
        late = sorted(at for at in said.keys() | summed.keys() if said.get(at) != summed.get(at))
        for begin in late:
            UsageHour.objects.filter(hour=begin).delete()
            _sum_hours(begin, begin + timedelta(hours=1))
        for day in sorted({timezone.localdate(begin) for begin in late}):
            if day < row.days_done_before:
                UsageDay.objects.filter(day=day).delete()
                _sum_day(day)
        return len(late)


def start_anew() -> None:
    """Forget every sum: all are made again from the records."""
    with transaction.atomic():
        Rollup.objects.select_for_update().first()
        UsageHour.objects.all().delete()
        UsageDay.objects.all().delete()
        Rollup.objects.all().delete()


def midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, datetime.min.time()))


class Hour(Func):
    """As `hour_of`, computed by the database: Django's own would call Python for each row on SQLite, and
    writes another hour than it reads where hours begin late."""

    output_field = models.DateTimeField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Any:
        late = _late_minutes()
        hour = f"STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:', %(expressions)s, '-{late} minutes')"
        return super().as_sql(compiler, connection, template=f"({hour} || '{late:02}:00')")

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Any:
        origin = f"TIMESTAMPTZ '2000-01-01 00:{_late_minutes():02}:00+00'"
        return super().as_sql(compiler, connection, template=f"DATE_BIN('1 hour', %(expressions)s, {origin})")


def hour_of(at: datetime) -> datetime:
    """The beginning of its hour. Hours begin when those of the platform's time zone do."""
    late = timedelta(minutes=_late_minutes())
    return (at.astimezone(UTC) - late).replace(minute=0, second=0, microsecond=0) + late


def _locked() -> Rollup | None:
    """Where to go on; the row is locked, so that one goes on. At first: the hour of the first record."""
    row = Rollup.objects.select_for_update().first()
    if row is not None and row.time_zone != _zone():
        start_anew()
        row = None
    if row is not None:
        return row
    first = UsageRecord.objects.aggregate(first=Min("created_at"))["first"]
    if first is None:
        return None
    beginning = {"done_before": hour_of(first), "days_done_before": timezone.localdate(first)}
    Rollup.objects.get_or_create(id=1, defaults={**beginning, "time_zone": _zone()})
    return Rollup.objects.select_for_update().get()


def _sum_hours(begin: datetime, end: datetime) -> int:
    records = UsageRecord.objects.filter(created_at__gte=begin, created_at__lt=end)
    groups = _by_hour(records).values("at", *GROUP).annotate(**SUMS, **TIMES)
    return _write(UsageHour, groups, ("hour", *GROUP, *SUMS, *TIMES))


def _sum_days(row: Rollup) -> None:
    """Every day whose hours are all summed up."""
    while midnight(row.days_done_before + timedelta(days=1)) <= row.done_before:
        _sum_day(row.days_done_before)
        row.days_done_before += timedelta(days=1)


def _sum_day(day: date) -> int:
    hours = UsageHour.objects.order_by().filter(
        hour__gte=midnight(day), hour__lt=midnight(day + timedelta(days=1))
    )
    at = Value(day, output_field=models.DateField())
    groups = hours.annotate(at=at).values("at", *GROUP).annotate(**SUMS_OF_SUMS, **TIMES_OF_SUMS)
    return _write(UsageDay, groups, ("day", *GROUP, *SUMS_OF_SUMS, *TIMES_OF_SUMS))


def _by_hour(records: QuerySet[UsageRecord]) -> QuerySet[Any, Any]:
    return records.order_by().annotate(at=Hour("created_at")).values("at")


def _write(table: type[models.Model], groups: QuerySet[Any, Any], names: tuple[str, ...]) -> int:
    """Written by the database itself: `names` are the query's columns, in its order."""
    select, values = groups.query.sql_with_params()
    columns = ", ".join(name.removesuffix("_sum") for name in names)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table._meta.db_table} ({columns}) {select}", values)
        num_rows: int = cursor.rowcount
        return num_rows


def _zone() -> str:
    return timezone.get_default_timezone_name()


def _late_minutes() -> int:
    """How much later than those of UTC the hours of the platform's time zone begin."""
    offset = datetime(2000, 1, 1, tzinfo=timezone.get_default_timezone()).utcoffset() or timedelta(0)
    return offset // timedelta(minutes=1) % 60 * -1 % 60
