"""The figures of a span of days as pages show them: cards, plots and the tables with the same numbers."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import orjson
from django.db.models import Q
from django.utils.translation import gettext as _

from webapp.accounts.models import ApiKey
from webapp.billing import figures, rollups
from webapp.billing.figures import Figures, Span
from webapp.dashboard.tables import Table

SHOWN = 20
SIGNS = {"USD": "$", "CNY": "¥"}
SPANS = {"today": 1, "7": 7, "30": 30, "90": 90}
COLUMNS = (
    *(
        "currency",
        "requests",
        "errors",
        "steps",
        "tool_calls",
        "input",
        "cached_input",
        "reasoning",
        "answer",
    ),
    "cost",
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of token in the bar that shows their shares."""

    number: int
    name: str
    tokens: int
    begin: float
    percent: float


def span_of(choice: str, *, today: date) -> tuple[str, Span]:
    choice = choice if choice in SPANS else "30"
    return choice, Span(first_day=today - timedelta(days=SPANS[choice] - 1), last_day=today)


def table(span: Span, group: figures.Grouping, *, where: Q) -> Table:
    lines = figures.by(span, group, where=where)
    names = names_of_keys(lines) if group == "key" else {}
    return Table(
        name=f"usage-by-{group}-{span.first_day}-{span.last_day}",
        columns=(group, *COLUMNS),
        rows=[(str(names.get(line.group, line.group or "")), *_row(line)) for line in lines],
    )


def page(span: Span, *, where: Q) -> dict[str, Any]:
    """What the template shows."""
    by_day_and_model = figures.by(span, "day", "model", where=where)
    by_day = figures.fold(by_day_and_model, lambda line: line.group[0])
    totals = figures.fold(by_day_and_model, lambda _line: ())
    by_model = figures.fold(by_day_and_model, lambda line: line.group[1])
    by_key = figures.by(span, "key", where=where)
    names = names_of_keys(by_key)
    return {
        "span": span,
        "totals": totals,
        "kinds": _kinds(totals),
        "first_token_s": figures.first_token_s(span, 0.5, 0.95, where=where),
        "days": list(reversed(by_day)),
        "models": by_model[:SHOWN],
        "people": figures.by(span, "user", where=where)[:SHOWN],
        "keys": [(names.get(line.group, _("Chat")), line) for line in by_key[:SHOWN]],
        "cost_plots": [
            _cost_plot(span, by_day_and_model, currency)
            for currency in sorted({one.currency for one in totals})
        ],
        "token_plot": _token_plot(span, by_day),
    }


def names_of_keys(lines: list[Figures]) -> dict[Any, str]:
    keys = ApiKey.objects.filter(pk__in=[line.group for line in lines if line.group])
    return {key.pk: str(key) for key in keys}


def _row(line: Figures) -> tuple[object, ...]:
    return (
        *(line.currency, line.num_records, line.num_errors, line.num_steps, line.num_tool_calls),
        *(line.input_uncached_tokens, line.input_cached_tokens, line.reasoning_tokens, line.answer_tokens),
        line.cost,
    )


def _kinds(totals: list[Figures]) -> list[Kind]:
    """Of all currencies together: tokens are tokens."""
    sums = {
        _("Reasoning"): sum(line.reasoning_tokens for line in totals),
        _("Answer"): sum(line.answer_tokens for line in totals),
        _("Input"): sum(line.input_uncached_tokens for line in totals),
        _("Cached input"): sum(line.input_cached_tokens for line in totals),
    }
    whole, begin, kinds = sum(sums.values()) or 1, 0.0, []
    for number, (name, tokens) in enumerate(sums.items(), start=1):
        percent = 100 * tokens / whole
        kinds.append(Kind(number=number, name=name, tokens=tokens, begin=begin, percent=percent))
        begin += percent
    return kinds


def _cost_plot(span: Span, lines: list[Figures], currency: str) -> dict[str, Any]:
    """The three dearest models, then the rest."""
    costs: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for line in lines:
        if line.currency == currency:
            day, model = line.group
            costs[model][day] += line.cost
    ranked = sorted(costs, key=lambda model: -sum(costs[model].values()))
    named = {model: [float(costs[model][day]) for day in span.days] for model in ranked[:3]}
    if len(ranked) > 3:
        rest = [float(sum(costs[model][day] for model in ranked[3:])) for day in span.days]
        named[_("Others")] = rest
    return _plot(span, named, unit=SIGNS.get(currency, ""), name=currency)


def _token_plot(span: Span, lines: list[Figures]) -> dict[str, Any]:
    kinds = {
        _("Reasoning"): "reasoning_tokens",
        _("Answer"): "answer_tokens",
        _("Input"): "input_uncached_tokens",
        _("Cached input"): "input_cached_tokens",
    }
    sums: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for line in lines:
        for name, column in kinds.items():
            sums[name][line.group] += getattr(line, column)
    return _plot(span, {name: [sums[name][day] for day in span.days] for name in kinds}, unit="", name="")


def _plot(span: Span, named: dict[str, Any], *, unit: str, name: str) -> dict[str, Any]:
    noons = [int(rollups.midnight(day).timestamp()) + 43_200 for day in span.days]
    series = [{"name": one, "values": values} for one, values in named.items()]
    data = orjson.dumps({"days": noons, "series": series, "unit": unit}).decode()
    return {"name": name, "data": data, "keys": list(enumerate(named, start=1))}
