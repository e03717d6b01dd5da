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
class Sums:
    """What some records come to; money of two currencies is never added up."""

    currency: str
    num_records: int
    input_uncached_tokens: int
    input_cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: Decimal

    @property
    def input_tokens(self) -> int:
        return self.input_uncached_tokens + self.input_cached_tokens

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, kw_only=True)
class Total(Sums):
    """One line of a totals table."""

    group: str | date


@dataclass(frozen=True, kw_only=True)
class DayOfModel(Sums):
    """One day with one model."""

    day: date
    model: str


def totals(records: QuerySet[UsageRecord], *, by: Grouping) -> list[Total]:
    """The records summed up by model, day or user, and currency; days newest first, the rest by name."""
    rows = records.order_by().annotate(group=_GROUPS[by]).values("group", "currency")
    rows = rows.annotate(**_SUMS).order_by("-group" if by == "day" else "group", "currency")
    return [Total(group=row["group"], **_sums(row)) for row in rows]


def days_of_models(records: QuerySet[UsageRecord]) -> list[DayOfModel]:
    """The records summed up by day, model and currency; newest day first."""
    rows = records.order_by().annotate(day=TruncDate("created_at")).values("day", "model__name", "currency")
    rows = rows.annotate(**_SUMS).order_by("-day", "model__name", "currency")
    return [DayOfModel(day=row["day"], model=row["model__name"], **_sums(row)) for row in rows]


def grand_totals(records: QuerySet[UsageRecord]) -> list[Total]:
    """One line for each currency."""
    rows = records.order_by().values("currency").annotate(**_SUMS).order_by("currency")
    return [Total(group="", **_sums(row)) for row in rows]


_SUMS: dict[str, Any] = {
    "num_records": Count("id"),
    "input_uncached": Sum("input_uncached_tokens"),
    "input_cached": Sum("input_cached_tokens"),
    "output": Sum("output_tokens"),
    "reasoning": Sum("reasoning_tokens"),
    "cost": Sum("cost_nano"),
}


def _sums(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of Sums."""
    return {
        "currency": row["currency"],
        "num_records": row["num_records"],
        "input_uncached_tokens": row["input_uncached"],
        "input_cached_tokens": row["input_cached"],
        "output_tokens": row["output"],
        "reasoning_tokens": row["reasoning"],
        "cost": pricing.to_decimal(row["cost"]),
    }
