"""Usage summed up by the hour, once an hour is over: pages read hours, however many requests there were.

An hour is summed up when it is PATIENCE past, so that what was being written then is in it, and never again.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import Coalesce, TruncHour
from django.utils import timezone

from webapp.billing.models import Rollup, UsageHour, UsageRecord

PATIENCE = timedelta(minutes=5)
AT_ONCE = timedelta(days=1)
GROUP = ("hour", "user_id", "api_key_id", "project_id", "model_id", "source", "currency")

_TOKENS = ("input_uncached_tokens", "input_cached_tokens", "output_tokens", "reasoning_tokens")
_SUMMED = (*_TOKENS, "num_steps", "num_tool_calls", "cost_nano", "fees_nano")
SUMS: dict[str, Any] = {
    "num_records": Count("id"),
    "num_errors": Count("id", filter=Q(finish_reason="error")),
    "num_timed": Count("id", filter=Q(first_token_ms__isnull=False)),
    "first_token_ms_sum": Coalesce(Sum("first_token_ms"), 0),
    "duration_ms_sum": Coalesce(Sum("duration_ms"), 0),
    **{f"{name}_sum": Sum(name) for name in _SUMMED},
}


def done_before() -> datetime | None:
    """Hours before this are summed up; None: no hour is."""
    return Rollup.objects.values_list("done_before", flat=True).first()


def roll_up(*, now: datetime | None = None) -> int:
    """Sum up every hour that is over: how many rows were written. Safe to run twice at once."""
    until = _hour((now or timezone.now()) - PATIENCE)
    num_rows = 0
    while True:
        with transaction.atomic():
            begin = _locked_beginning()
            if begin is None or begin >= until:
                return num_rows
            end = min(begin + AT_ONCE, until)
            num_rows += _sum_up(begin, end)
            Rollup.objects.update_or_create(id=1, defaults={"done_before": end})


def _locked_beginning() -> datetime | None:
    """Where to go on; the row is locked, so that one goes on. At first: the hour of the first record."""
    if (row := Rollup.objects.select_for_update().first()) is not None:
        return row.done_before
    first = UsageRecord.objects.aggregate(first=Min("created_at"))["first"]
    if first is None:
        return None
    Rollup.objects.get_or_create(id=1, defaults={"done_before": _hour(first)})
    return Rollup.objects.select_for_update().get().done_before


def _sum_up(begin: datetime, end: datetime) -> int:
    records = UsageRecord.objects.order_by().filter(created_at__gte=begin, created_at__lt=end)
    groups = records.annotate(hour=TruncHour("created_at", tzinfo=UTC)).values(*GROUP).annotate(**SUMS)
    # Written by the database itself, in the order in which the query names its columns.
    select, values = groups.query.sql_with_params()
    columns = ", ".join(name.removesuffix("_sum") for name in (*GROUP, *SUMS))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {UsageHour._meta.db_table} ({columns}) {select}", values)
        num_rows: int = cursor.rowcount
        return num_rows


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


HOURLY: dict[str, Any] = {
    "num_records": Sum("num_records"),
    "num_errors": Sum("num_errors"),
    "num_timed": Sum("num_timed"),
    "first_token_ms_sum": Sum("first_token_ms"),
    "duration_ms_sum": Sum("duration_ms"),
    **{f"{name}_sum": Sum(name) for name in _SUMMED},
}
