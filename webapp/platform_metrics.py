"""What Prometheus is told of the whole platform: tokens, turns; `inference_metrics` tells of the workers.

Read from the database and Redis, so that any web process tells the same, whatever process did the work.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import redis
from django.db import DatabaseError
from django.db.models import Count, Max, QuerySet, Sum
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chat.models import Turn
from webapp import inference_metrics
from webapp.billing.models import UsageRecord
from webapp.catalog import upstream_health

KINDS = {
    "input_uncached": "input_uncached_tokens",
    "input_cached": "input_cached_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}
# Ids are given out before their rows are committed: a record this old is surely there with all before it.
SETTLED_FOR = timedelta(seconds=5)


class UsageTotals:
    """Running sums over the usage records. They are append-only, so each reading adds only what is new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_id = 0
        self.tokens: Counter[tuple[str, str, str]] = Counter()
        self.records: Counter[tuple[str, str, str]] = Counter()

    def catch_up(self) -> None:
        with self._lock:
            new = UsageRecord.objects.filter(
                id__gt=self._last_id, created_at__lt=timezone.now() - SETTLED_FOR
            )
            last_id = new.aggregate(last=Max("id"))["last"]
            if last_id is None:
                return
            self._add(new.filter(id__lte=last_id))
            self._last_id = last_id

    def _add(self, records: QuerySet[UsageRecord]) -> None:
        sums = {kind: Sum(column) for kind, column in KINDS.items()}
        groups = records.order_by().values("model__name", "source", "finish_reason")
        for row in groups.annotate(num=Count("id"), **sums):
            name, source = row["model__name"], row["source"]
            self.records[name, source, row["finish_reason"]] += row["num"]
            kinds: dict[str, Any] = dict(row)
            for kind in KINDS:
                self.tokens[name, source, kind] += kinds[kind]


class PlatformCollector(Collector):
    """A part that is down is left out: a scrape never fails for it."""

    def __init__(self) -> None:
        self._usage = UsageTotals()

    def collect(self) -> Iterator[Metric]:
        try:
            yield from self._of_usage()
            yield from self._of_turns()
        except DatabaseError:
            yield _up("database", 0)
        else:
            yield _up("database", 1)
        try:
            yield from inference_metrics.read()
            yield from _of_upstreams()
        except redis.RedisError:
            yield _up("redis", 0)
        else:
            yield _up("redis", 1)

    def _of_usage(self) -> Iterator[Metric]:
        self._usage.catch_up()
        tokens = CounterMetricFamily(
            "platform_tokens",
            "Billed tokens; reasoning is part of output",
            labels=["model", "source", "kind"],
        )
        for labels, value in self._usage.tokens.items():
            tokens.add_metric(labels, value)
        yield tokens
        records = CounterMetricFamily(
            "platform_usage_records",
            "Turns and API requests that were billed",
            labels=["model", "source", "finish_reason"],
        )
        for labels, value in self._usage.records.items():
            records.add_metric(labels, value)
        yield records

    def _of_turns(self) -> Iterator[Metric]:
        turns = GaugeMetricFamily("platform_turns", "Turns by status", labels=["status"])
        counts = dict(Turn.objects.order_by().values_list("status").annotate(Count("id")))
        for status in Turn.Status:
            turns.add_metric([status.value], counts.get(status.value, 0))
        yield turns


def _of_upstreams() -> Iterator[Metric]:
    faults = GaugeMetricFamily(
        "platform_upstream_faults",
        "Faults of a model's upstream since a day without any",
        labels=["upstream"],
    )
    rests = GaugeMetricFamily(
        "platform_upstream_rests", "1 while an upstream that failed is left alone", labels=["upstream"]
    )
    now = timezone.now()
    for health in upstream_health.all_told():
        faults.add_metric([health.name], health.num_faults)
        rests.add_metric([health.name], int(health.rests_until > now))
    yield faults
    yield rests


def _up(part: str, value: int) -> Metric:
    up = GaugeMetricFamily(f"platform_{part}_up", f"1 when the {part} answers")
    up.add_metric([], value)
    return up
