"""Totals of what was used, by model, day or user. Reads usage records; writes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import TruncDate

from webapp.billing import pricing
from webapp.billing.models import UsageRecord

Grouping = Literal["model", "day", "user"]

_GROUPS: dict[Grouping, Any] = {
    "model": F("model__name"),
    "day": TruncDate("created_at"),
    "user": F("user__username"),
}


@dataclass(frozen=True, kw_only=True)
class Total:
    """One line of a totals table; money of two currencies is never added up."""

    group: str | date
    currency: str
    num_records: int
    input_uncached_tokens: int
    input_cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: Decimal

    @property
    def total_tokens(self) -> int:
        return self.input_uncached_tokens + self.input_cached_tokens + self.output_tokens


def totals(records: QuerySet[UsageRecord], *, by: Grouping) -> list[Total]:
    """The records summed up by model, day or user, and currency; days newest first, the rest by name."""
    rows = records.order_by().annotate(group=_GROUPS[by]).values("group", "currency")
    rows = rows.annotate(**_SUMS).order_by("-group" if by == "day" else "group", "currency")
    return [_total(row) for row in rows]


def grand_totals(records: QuerySet[UsageRecord]) -> list[Total]:
    """One line for each currency."""
    rows = records.order_by().values("currency").annotate(**_SUMS).order_by("currency")
    return [_total(dict(row, group="")) for row in rows]


_SUMS: dict[str, Any] = {
    "num_records": Count("id"),
    "input_uncached": Sum("input_uncached_tokens"),
    "input_cached": Sum("input_cached_tokens"),
    "output": Sum("output_tokens"),
    "reasoning": Sum("reasoning_tokens"),
    "cost": Sum("cost_nano"),
}


def _total(row: Mapping[str, Any]) -> Total:
    return Total(
        group=row["group"],
        currency=row["currency"],
        num_records=row["num_records"],
        input_uncached_tokens=row["input_uncached"],
        input_cached_tokens=row["input_cached"],
        output_tokens=row["output"],
        reasoning_tokens=row["reasoning"],
        cost=pricing.to_decimal(row["cost"]),
    )
