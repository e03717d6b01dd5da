"""What a key's owner may read of their money: receipts of requests, and what was used by day and model."""

from dataclasses import asdict
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from webapp.accounts.models import ApiKey
from webapp.api import admission, database
from webapp.api.errors import ApiError, bad_request
from webapp.api.exchange import Exchange
from webapp.billing import figures, pricing, receipts
from webapp.billing.figures import Figures, Span

MOST_DAYS = 366
_COUNTS = (
    "num_records",
    "num_errors",
    "input_uncached_tokens",
    "input_cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "num_tool_calls",
)


async def receipt(exchange: Exchange, id: str) -> None:
    """Of a request's id, or of the one in its answer's header `x-kimi-receipt`."""
    await exchange.send_json(await database.run(_receipt, exchange.secret, exchange.address, id))


async def usage(exchange: Exchange) -> None:
    """By day and model, from `start` to `end`, both included; the last 30 days without."""
    asked = {
        name: values[-1]
        for name, values in parse_qs(exchange.query.decode("latin-1"), keep_blank_values=True).items()
    }
    await exchange.send_json(await database.run(_usage, exchange.secret, exchange.address, asked))


def _receipt(secret: str, address: str, id: str) -> dict[str, Any]:
    key = admission.authenticate(secret)
    admission.check(key, scope="usage", address=address)
    found = receipts.of(key.user, id, where=_of(key)) if id.isprintable() else None
    if found is None:
        text = f"There is no receipt {id[:60]!r}, or not yet: it is written when the answer has ended."
        raise ApiError(404, text, code="receipt_not_found")
    return found


def _usage(secret: str, address: str, asked: dict[str, str]) -> dict[str, Any]:
    key = admission.authenticate(secret)
    admission.check(key, scope="usage", address=address)
    today = timezone.localdate()
    last = _day(asked.get("end"), "end") or today
    first = _day(asked.get("start"), "start") or last - timedelta(days=29)
    if not timedelta(0) <= last - first < timedelta(days=MOST_DAYS):
        raise bad_request(f"`start` comes before `end`, and at most {MOST_DAYS} days.", param="start")
    span = Span(first_day=first, last_day=last)
    lines = figures.by(span, "day", "model", where=_of(key))
    return {
        "object": "list",
        "start": first.isoformat(),
        "end": last.isoformat(),
        "time_zone": settings.TIME_ZONE,
        "data": [_line(line) for line in lines],
    }


def _of(key: ApiKey) -> Q:
    """A project's key tells of the project alone, and not of what its maker does beside it."""
    return Q(user=key.user) if key.project_id is None else Q(user=key.user, project_id=key.project_id)


def _line(line: Figures) -> dict[str, Any]:
    day, model = line.group
    values = asdict(line)
    return {
        "object": "usage.line",
        "day": str(day),
        "model": str(model),
        **{name: values[name] for name in _COUNTS},
        "currency": line.currency,
        "cost": f"{pricing.to_decimal(line.cost_nano):f}",
    }


def _day(text: str | None, param: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise bad_request(f"`{param}` is a day like 2026-11-23.", param=param) from None
