"""What one person used in the last days, as the settings page shows it: by day and model, and as bars."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate

from webapp.accounts.models import User
from webapp.billing import pricing
from webapp.billing.models import UsageRecord

DAYS = 30
PITCH = 10.0  # of the chart's 300 x 100 drawing
BAR = 5.6


@dataclass(frozen=True, kw_only=True)
class Line:
    """One day with one model, in one currency."""

    day: date
    model: str
    currency: str
    num_requests: int
    input_uncached_tokens: int
    input_cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: Decimal

    @property
    def input_tokens(self) -> int:
        return self.input_uncached_tokens + self.input_cached_tokens

    @property
    def kinds(self) -> tuple[int, int, int, int]:
        """Reasoning, answer, input, cached input: from the bottom of a bar to its top."""
        answer = self.output_tokens - self.reasoning_tokens
        return self.reasoning_tokens, answer, self.input_uncached_tokens, self.input_cached_tokens


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One piece of a day's bar; `kind` 1 to 4 as in Line.kinds."""

    kind: int
    x: str
    y: str
    height: str


def lines(user: User, *, today: date) -> list[Line]:
    """Newest day first."""
    rows = (
        UsageRecord.objects.filter(user=user, created_at__date__gt=today - timedelta(days=DAYS))
        .order_by()
        .annotate(day=TruncDate("created_at"))
        .values("day", "model__name", "currency")
        .annotate(
            num_requests=Count("id"),
            uncached=Sum("input_uncached_tokens"),
            cached=Sum("input_cached_tokens"),
            output=Sum("output_tokens"),
            reasoning=Sum("reasoning_tokens"),
            nano=Sum("cost_nano"),
        )
        .order_by("-day", "model__name")
    )
    return [
        Line(
            day=row["day"],
            model=row["model__name"],
            currency=row["currency"],
            num_requests=row["num_requests"],
            input_uncached_tokens=row["uncached"],
            input_cached_tokens=row["cached"],
            output_tokens=row["output"],
            reasoning_tokens=row["reasoning"],
            cost=pricing.to_decimal(row["nano"]),
        )
        for row in rows
    ]


def bars(lines: list[Line], *, today: date) -> list[Bar]:
    """The days as stacked bars of tokens, in a drawing of 300 by 100 whose tallest bar is full."""
    days: dict[date, tuple[int, ...]] = defaultdict(lambda: (0, 0, 0, 0))
    for line in lines:
        days[line.day] = tuple(map(sum, zip(days[line.day], line.kinds, strict=True)))
    highest = max((sum(kinds) for kinds in days.values()), default=0)
    return [bar for day, kinds in days.items() for bar in _stack(day, kinds, highest=highest, today=today)]


def _stack(day: date, kinds: tuple[int, ...], *, highest: int, today: date) -> Iterable[Bar]:
    x = (DAYS - 1 - (today - day).days) * PITCH + (PITCH - BAR) / 2
    top = 100.0
    for kind, tokens in enumerate(kinds, start=1):
        height = 100.0 * tokens / highest if highest else 0.0
        top -= height
        if tokens:
            yield Bar(kind=kind, x=f"{x:.1f}", y=f"{top:.2f}", height=f"{height:.2f}")
