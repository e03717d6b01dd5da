"""Fills an empty database with usage as it would lie there after years, and times the pages that read it.

The rows are made by the database itself, some hundred thousand a second: holds, usage records and ledger
entries, spread over users, models and hours. For scratch databases only.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import connection
from django.test import Client
from django.utils import timezone

from webapp.accounts.models import User
from webapp.billing import rollups, seeds
from webapp.billing.models import Account, Price, UsageRecord
from webapp.catalog.models import ServedModel

MODELS = ("bench-1", "bench-2", "bench-3")  # in the order in which prices are given to them
USERS = 100
AT_ONCE = 500_000

HOLDS = """INSERT INTO billing_hold
    (id, account_id, price_id, model_id, user_id, amount_nano, status, expires_at, created_at)
    SELECT {id}, {account}, {price}, {model}, {user}, 0, 'settled', {at}, {at} FROM numbers"""
RECORDS = """INSERT INTO billing_usagerecord
    (user_id, model_id, source, hold_id, reference, finish_reason, input_uncached_tokens,
     input_cached_tokens, output_tokens, reasoning_tokens, num_steps, num_tool_calls, first_token_ms,
     duration_ms, is_estimated, price_id, currency, cost_nano, fees_nano, created_at)
    SELECT {user}, {model}, CASE ({user}) % 3 WHEN 0 THEN 'chat' ELSE 'api' END, {id}, 'bench', 'stop',
     500 + n % 1500, n % 900, 200 + n % 2000, n % 150, 1 + n % 9, n % 5, 200 + n % 900,
     1000 + n % 9000, {false}, {price}, 'USD', 1000000 + n % 4000000, 0, {at} FROM numbers"""


PAGES = {
    "dashboard, 7 days": "/dashboard/?span=7",
    "dashboard, 30 days": "/dashboard/?span=30",
    "dashboard, 90 days": "/dashboard/?span=90",
    "dashboard of one person": "/dashboard/?span=90&user=bench-7",
    "dashboard of one model": "/dashboard/?span=90&model=bench-2",
    "a person's own page": "/settings/keys/",
    "newest turns": "/dashboard/turns/",
    "dearest turns": "/dashboard/turns/?order=cost",
    "budgets and proofs": "/dashboard/money/",
    "CSV by user, 90 days": "/dashboard/?span=90&format=csv&table=user",
    "CSV by day, 90 days": "/dashboard/?span=90&format=csv&table=day",
    "CSV by hour, 7 days": "/dashboard/?span=7&format=csv&table=hour",
    "usage records": "/admin/billing/usagerecord/",
    "usage records, page 50": "/admin/billing/usagerecord/?p=50",
    "usage of one user": "/admin/billing/usagerecord/?q=bench-7",
    "usage totals": "/admin/billing/usagerecord/totals/",
    "holds": "/admin/billing/hold/",
    "ledger": "/admin/billing/ledgerentry/",
}


@dataclass(frozen=True, kw_only=True)
class Timing:
    name: str
    p50_ms: float
    p95_ms: float
    cpu_p50_ms: float  # of this process, which SQLite is a part of


def fill(num_rows: int, *, num_days: int, tell: Callable[[str], None]) -> None:
    """Raises ValueError unless there is no usage yet."""
    if UsageRecord.objects.exists():
        raise ValueError("There is usage in this database: the bench fills an empty one only.")
    models, users = _models(), _users()
    firsts = {
        "model": models[0].pk,
        "price": Price.objects.get(model=models[0], currency="USD").pk,
        "user": users[0].pk,
        "account": Account.objects.get(user=users[0]).pk,
    }
    newest = timezone.now() - timedelta(hours=2)
    step_s = num_days * 86_400 / num_rows
    for begin in range(0, num_rows, AT_ONCE):
        end = min(begin + AT_ONCE, num_rows)
        oldest = newest - timedelta(seconds=step_s * (num_rows - begin))
        _insert(begin, end, oldest=oldest.isoformat(sep=" "), step_s=step_s, firsts=firsts)
        tell(f"{end:,} rows")


def time_pages(*, num_rounds: int = 20) -> list[Timing]:
    """Each page as a browser gets it, but for the network."""
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username="bench-root"))
    timings = [_timed(name, partial(client.get, address), num_rounds) for name, address in PAGES.items()]
    model = ServedModel.objects.get(name=MODELS[0])
    prices = {
        "model": model.pk,
        "currency": "USD",
        "input": "1",
        "cached_input": "0.5",
        "output": "3",
        "span": "90",
    }
    again = partial(client.post, "/dashboard/prices/dry-run/", prices)
    return [*timings, _timed("other prices, 90 days", again, num_rounds)]


def sum_up() -> tuple[int, float]:
    """How many rows of hours, and the seconds it took."""
    started_at = time.perf_counter()
    return rollups.roll_up(), time.perf_counter() - started_at


def _timed(name: str, ask: Callable[[], Any], num_rounds: int) -> Timing:
    if (status := ask().status_code) != 200:
        raise ValueError(f"{name}: {status}")
    times, computed = [], []
    for _round in range(num_rounds):
        started_at, computing_at = time.perf_counter(), time.process_time()
        ask()
        times.append((time.perf_counter() - started_at) * 1000)
        computed.append((time.process_time() - computing_at) * 1000)
    p50, p95 = len(times) // 2, int(len(times) * 0.95)
    times.sort()
    computed.sort()
    return Timing(name=name, p50_ms=times[p50], p95_ms=times[p95], cpu_p50_ms=computed[p50])


def _models() -> list[ServedModel]:
    models = [
        ServedModel.objects.create(
            name=name,
            label=name,
            backend=ServedModel.Backend.SCRIPTED,
            upstream_name=name,
            context_tokens=32_768,
            max_output_tokens=8_192,
            is_active=False,
        )
        for name in MODELS
    ]
    seeds.seed()
    for model in models:
        Price.objects.filter(model=model).update(output_per_million=Decimal("2.50"))
    return models


def _users() -> list[User]:
    """Their ids follow each other, as do those of their accounts."""
    root = User.objects.create_user("bench-root", "bench-root@example.com", is_staff=True, is_superuser=True)
    names = [f"bench-{number}" for number in range(1, USERS)]
    return [root, *(User.objects.create_user(name, f"{name}@example.com") for name in names)]


def _insert(begin: int, end: int, *, oldest: str, step_s: float, firsts: dict[str, int]) -> None:
    is_postgres = connection.vendor == "postgresql"
    # 7919 is prime: users mix, and most requests are of few of them. Each uses one model, from one place.
    whose = f"(n * 7919) % {USERS} * ((n * 7919) % {USERS}) / {USERS}"
    which = f"({whose}) % {len(MODELS)}"
    seconds = f"(n - {begin}) * {step_s!r}"
    if is_postgres:
        at = f"TIMESTAMPTZ '{oldest}' + {seconds} * INTERVAL '1 second'"
        numbers = f"WITH numbers AS (SELECT n FROM generate_series({begin}::bigint, {end - 1}) AS n)"
        id = "('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid"
    else:
        at = f"strftime('%Y-%m-%d %H:%M:%f', '{oldest[:19]}', ({seconds}) || ' seconds')"
        numbers = (
            f"WITH RECURSIVE numbers(n) AS (SELECT {begin} UNION ALL SELECT n + 1 FROM numbers"
            f" WHERE n < {end - 1})"
        )
        id = "'0000000000004000' || printf('%016d', n)"
    parts = {
        "id": id,
        "at": at,
        "false": "FALSE",
        "user": f"{firsts['user']} + {whose}",
        "account": f"{firsts['account']} + {whose}",
        "model": f"{firsts['model']} + {which}",
        # Prices come in pairs of currencies, USD first.
        "price": f"{firsts['price']} + 2 * ({which})",
    }
    with connection.cursor() as cursor:
        for statement in (HOLDS, RECORDS):
            into, _select, rest = statement.partition("SELECT")
            made = f"{into} {numbers} SELECT{rest}"
            cursor.execute(made.format(**parts))
