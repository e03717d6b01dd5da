"""What was used, as pages show it: summed days, the hours of a day that is not summed up yet, and the records
since. Reads; writes nothing. Money of two currencies is never added up."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from webapp.billing import pricing, rollups
from webapp.billing.models import FIRST_TOKEN_WITHIN_MS, UsageDay, UsageHour, UsageRecord

Grouping = Literal["hour", "day", "model", "user", "key", "source", "project"]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One line: what some requests and turns come to."""

    group: Any
    currency: str
    num_records: int
    num_errors: int
    num_steps: int
    num_tool_calls: int
    input_uncached_tokens: int
    input_cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_nano: int
    fees_nano: int
    num_timed: int
    first_token_ms: int
    duration_ms: int

    @property
    def input_tokens(self) -> int:
        return self.input_uncached_tokens + self.input_cached_tokens

    @property
    def answer_tokens(self) -> int:
        return self.output_tokens - self.reasoning_tokens

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def cost(self) -> Decimal:
        return pricing.to_decimal(self.cost_nano)

    @property
    def cached_percent(self) -> float:
        return _percent(self.input_cached_tokens, self.input_tokens)

    @property
    def reasoning_percent(self) -> float:
        return _percent(self.reasoning_tokens, self.output_tokens)

    @property
    def errors_percent(self) -> float:
        return _percent(self.num_errors, self.num_records)


@dataclass(frozen=True, kw_only=True)
class Span:
    """From `since` until before `until`, whole days of the platform's time zone."""

    first_day: date
    last_day: date

    @property
    def since(self) -> datetime:
        return rollups.midnight(self.first_day)

    @property
    def until(self) -> datetime:
        return rollups.midnight(self.last_day + timedelta(days=1))

    @property
    def days(self) -> list[date]:
        return [
            self.first_day + timedelta(days=index)
            for index in range((self.last_day - self.first_day).days + 1)
        ]


EVERYBODY = Q()
_COLUMNS = tuple(field.name for field in fields(Figures) if field.name not in ("group", "currency"))


def by(span: Span, *groups: Grouping, where: Q = EVERYBODY) -> list[Figures]:
    """One line for each group and currency; `where` speaks of columns that hours and records share. With two
    groups `group` is a pair. Dearest first, days and hours in their order."""
    sums: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for rows, time in _pieces(span, by_hour="hour" in groups):
        columns = rollups.SUMS if time == "created_at" else rollups.SUMS_OF_SUMS
        _add(sums, rows.filter(where), groups, time=time, columns=columns)
    lines = [_line(key, columns) for key, columns in sums.items()]
    return sorted(lines, key=_in_time if groups and groups[0] in ("day", "hour") else _dearest_first)


def total(span: Span, *, where: Q = EVERYBODY) -> list[Figures]:
    """One line for each currency, the dearest first."""
    return by(span, where=where)


def first_token_s(span: Span, *shares: float, where: Q = EVERYBODY) -> list[float] | None:
    """Within how many seconds the first token of these shares of requests came; None: none was timed. Known
    to the bounds that requests are counted by, and taken as spread evenly between two."""
    counts: dict[str, int] = defaultdict(int)
    for rows, time in _pieces(span):
        times = rollups.TIMES if time == "created_at" else rollups.TIMES_OF_SUMS
        timed = rollups.SUMS["num_timed"] if time == "created_at" else Sum("num_timed")
        for name, count in rows.filter(where).order_by().aggregate(**times, num_timed=timed).items():
            counts[name] += count or 0
    num_timed = counts["num_timed"]
    within = [counts[name] for name in rollups.TIMES]
    return [_share_of(within, share * num_timed) / 1000 for share in shares] if num_timed else None


def _share_of(within: list[int], wanted: float) -> float:
    below, so_far = 0, 0
    for bound, count in zip(FIRST_TOKEN_WITHIN_MS, within, strict=True):
        if count and so_far + count >= wanted:
            return below + (bound - below) * (wanted - so_far) / count
        below, so_far = bound, so_far + count
    return below  # at least: longer ones are not told apart


def fold(lines: Iterable[Figures], group: Callable[[Figures], Any]) -> list[Figures]:
    """Lines put together by a coarser group, without another look at the rows; ordered as by `by`."""
    sums: dict[tuple[Any, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line in lines:
        for name in _COLUMNS:
            sums[group(line), line.currency][name] += getattr(line, name)
    folded = [Figures(group=of, currency=currency, **columns) for (of, currency), columns in sums.items()]
    is_of_days = all(isinstance(line.group, date) for line in folded)
    return sorted(folded, key=_in_time if is_of_days else _dearest_first)


def _in_time(line: Figures) -> tuple[str, str]:
    return str(line.group), line.currency


def _dearest_first(line: Figures) -> tuple[int, int, str]:
    return -line.cost_nano, -line.total_tokens, str(line.group)


def _pieces(span: Span, *, by_hour: bool = False) -> Iterator[tuple[QuerySet[Any, Any], str]]:
    """The span's rows, each piece from where it is summed up most, and the column of its time."""
    row = rollups.standing()
    hours_from, records_from = span.since, span.since
    if row is not None:
        records_from = min(max(row.done_before, span.since), span.until)
        if not by_hour:
            days_until = min(max(row.days_done_before, span.first_day), span.last_day + timedelta(days=1))
            hours_from = rollups.midnight(days_until)
            yield UsageDay.objects.filter(day__gte=span.first_day, day__lt=days_until), "day"
    if hours_from < records_from:
        yield UsageHour.objects.filter(hour__gte=hours_from, hour__lt=records_from), "hour"
    if records_from < span.until:
        yield (
            UsageRecord.objects.filter(created_at__gte=records_from, created_at__lt=span.until),
            "created_at",
        )


def _add(
    sums: dict[tuple[Any, ...], dict[str, int]],
    rows: QuerySet[Any, Any],
    groups: tuple[Grouping, ...],
    *,
    time: str,
    columns: dict[str, Any],
) -> None:
    # Hours as they are stored, made days below: SQLite has no fast function for either.
    of_time: Any = rollups.Hour(time) if time == "created_at" else F(time)
    of_group: dict[Grouping, Any] = {
        "hour": of_time,
        "day": of_time,
        "model": F("model__name"),
        "user": F("user__username"),
        "key": F("api_key_id"),
        "source": F("source"),
        "project": F("project_id"),
    }
    names = [f"group_{group}" for group in groups]
    named = {name: of_group[group] for name, group in zip(names, groups, strict=True)}
    grouped = rows.order_by().annotate(**named).values(*names, "currency")
    for row in grouped.annotate(**columns):
        if isinstance(row.get("group_day"), datetime):
            row["group_day"] = timezone.localdate(row["group_day"])
        line = sums[(*(row[name] for name in names), row["currency"])]
        for name in columns:
            line[name.removesuffix("_sum")] += row[name] or 0


def _line(key: tuple[Any, ...], columns: dict[str, int]) -> Figures:
    *group, currency = key
    return Figures(group=group[0] if len(group) == 1 else tuple(group), currency=currency, **columns)


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
