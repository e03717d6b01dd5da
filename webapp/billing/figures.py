"""What was used, as pages show it: summed hours, and the records of the hours that are not summed up yet.
Reads; writes nothing. Money of two currencies is never added up."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from django.db.models import F, Q, QuerySet
from django.db.models.functions import TruncHour
from django.utils import timezone

from webapp.billing import pricing, rollups
from webapp.billing.models import UsageHour, UsageRecord

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

    @property
    def first_token_s(self) -> float | None:
        """The mean of those that were timed."""
        return self.first_token_ms / self.num_timed / 1000 if self.num_timed else None


@dataclass(frozen=True, kw_only=True)
class Span:
    """From `since` until before `until`, whole days of the platform's time zone."""

    first_day: date
    last_day: date

    @property
    def since(self) -> datetime:
        return midnight(self.first_day)

    @property
    def until(self) -> datetime:
        return midnight(self.last_day + timedelta(days=1))

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
    summed_until = min(max(rollups.done_before() or span.since, span.since), span.until)
    hours = UsageHour.objects.filter(where, hour__gte=span.since, hour__lt=summed_until)
    records = UsageRecord.objects.filter(where, created_at__gte=summed_until, created_at__lt=span.until)
    sums: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    _add(sums, hours, groups, time="hour", columns=rollups.HOURLY)
    if summed_until < span.until:
        _add(sums, records, groups, time="created_at", columns=rollups.SUMS)
    lines = [_line(key, columns) for key, columns in sums.items()]
    return sorted(lines, key=_in_time if groups and groups[0] in ("day", "hour") else _dearest_first)


def total(span: Span, *, where: Q = EVERYBODY) -> list[Figures]:
    """One line for each currency, the dearest first."""
    return by(span, where=where)


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


def _add(
    sums: dict[tuple[Any, ...], dict[str, int]],
    rows: QuerySet[Any],
    groups: tuple[Grouping, ...],
    *,
    time: str,
    columns: dict[str, Any],
) -> None:
    # Hours as they are stored, made days below: SQLite has no fast function for either.
    of_hour: Any = F(time) if time == "hour" else TruncHour(time)
    of_group: dict[Grouping, Any] = {
        "hour": of_hour,
        "day": of_hour,
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
        if "group_day" in row:
            row["group_day"] = timezone.localdate(row["group_day"])
        line = sums[(*(row[name] for name in names), row["currency"])]
        for name in columns:
            line[name.removesuffix("_sum")] += row[name] or 0


def _line(key: tuple[Any, ...], columns: dict[str, int]) -> Figures:
    *group, currency = key
    return Figures(group=group[0] if len(group) == 1 else tuple(group), currency=currency, **columns)


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, datetime.min.time()))
