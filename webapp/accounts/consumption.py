"""What one person used in the last days, as the settings page shows it: by day and model, and as bars."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Q

from webapp.accounts.models import User
from webapp.billing import figures
from webapp.billing.figures import Figures, Span
from webapp.billing.usage import DayOfModel

DAYS = 30
PITCH = 10.0  # of the chart's 300 x 100 drawing
BAR = 5.6


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One piece of a day's bar; `kind` 1 to 4 as in `_kinds`."""

    kind: int
    x: str
    y: str
    height: str


def lines(user: User, *, today: date) -> list[DayOfModel]:
    """Newest day first."""
    span = Span(first_day=today - timedelta(days=DAYS - 1), last_day=today)
    found = figures.by(span, "day", "model", where=Q(user=user))
    return sorted((_day(line) for line in found), key=lambda line: (-line.day.toordinal(), line.model))


def totals(user: User, *, today: date) -> list[Figures]:
    """Of all time, one line for each currency."""
    span = Span(first_day=user.date_joined.date() - timedelta(days=1), last_day=today)
    return figures.total(span, where=Q(user=user))


def _day(line: Figures) -> DayOfModel:
    day, model = line.group
    return DayOfModel(
        day=day,
        model=model,
        currency=line.currency,
        num_records=line.num_records,
        input_uncached_tokens=line.input_uncached_tokens,
        input_cached_tokens=line.input_cached_tokens,
        output_tokens=line.output_tokens,
        reasoning_tokens=line.reasoning_tokens,
        cost=line.cost,
    )


def bars(lines: list[DayOfModel], *, today: date) -> list[Bar]:
    """The days as stacked bars of tokens, in a drawing of 300 by 100 whose tallest bar is full."""
    days: dict[date, tuple[int, ...]] = defaultdict(lambda: (0, 0, 0, 0))
    for line in lines:
        days[line.day] = tuple(map(sum, zip(days[line.day], _kinds(line), strict=True)))
    highest = max((sum(kinds) for kinds in days.values()), default=0)
    return [bar for day, kinds in days.items() for bar in _stack(day, kinds, highest=highest, today=today)]


def _kinds(line: DayOfModel) -> tuple[int, int, int, int]:
    """Reasoning, answer, input, cached input: from the bottom of a bar to its top."""
    answer = line.output_tokens - line.reasoning_tokens
    return line.reasoning_tokens, answer, line.input_uncached_tokens, line.input_cached_tokens


def _stack(day: date, kinds: tuple[int, ...], *, highest: int, today: date) -> Iterable[Bar]:
    x = (DAYS - 1 - (today - day).days) * PITCH + (PITCH - BAR) / 2
    top = 100.0
    for kind, tokens in enumerate(kinds, start=1):
        height = 100.0 * tokens / highest if highest else 0.0
        top -= height
        if tokens:
            yield Bar(kind=kind, x=f"{x:.1f}", y=f"{top:.2f}", height=f"{height:.2f}")
