"""What Prometheus is told of the request queue and the inference workers, from their heartbeats.

Counters count from a worker's start; one that ends takes its series with it.
"""

from collections.abc import Iterator

import redis
from django.conf import settings
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from inference.request_queue import census
from inference.request_queue.messages import BOUNDS, Heartbeat, Histogram, WorkerState

ANSWER_WITHIN_S = 1.0
LABELS = ("worker", "model")

# Metric name → what it says, and the heartbeat's fields with the label that tells them apart, if any.
GAUGES: dict[str, tuple[str, dict[str, str]]] = {
    "running": ("Requests being answered", {"": "num_running"}),
    "waiting": ("Requests waiting in a worker", {"": "num_waiting"}),
    "load_progress": ("Share of the model that is loaded", {"": "progress"}),
    "context_tokens": ("Tokens that a conversation may have", {"": "context_tokens"}),
    "kv_blocks": (
        "Blocks of the KV cache by state",
        {"used": "num_blocks_used", "cached": "num_blocks_cached", "free": "num_blocks_free"},
    ),
}
COUNTERS: dict[str, tuple[str, dict[str, str]]] = {
    "requests": ("Requests taken", {"": "requests_total"}),
    "aborts": ("Requests that their readers gave up", {"": "aborts_total"}),
    "errors": ("Requests that failed or were refused", {"": "errors_total"}),
    "preemptions": ("Sequences whose blocks were taken for others", {"": "preemptions_total"}),
    "tokens": (
        "Tokens by kind: cached is part of input, accepted of output and of drafted",
        {
            "input": "input_tokens_total",
            "cached": "cached_tokens_total",
            "output": "output_tokens_total",
            "drafted": "drafted_tokens_total",
            "accepted": "accepted_tokens_total",
        },
    ),
}
HISTOGRAMS: dict[str, tuple[str, str]] = {
    "queue_s": ("queue_seconds", "From being sent to being taken by a worker"),
    "ttft_s": ("time_to_first_token_seconds", "From being sent to the first token"),
    "itl_s": ("inter_token_latency_seconds", "Between two tokens of an answer"),
    "batch_size": ("batch_size", "Sequences that got a token in one step"),
}


def read() -> Iterator[Metric]:
    """Raises redis.RedisError."""
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=ANSWER_WITHIN_S, socket_connect_timeout=ANSWER_WITHIN_S
    ) as client:
        workers, depths = census.workers(client), census.depths(client)
    depth = GaugeMetricFamily("platform_inference_queue_depth", "Requests in the queue", labels=["model"])
    for model, num_requests in depths.items():
        depth.add_metric([model], num_requests)
    yield depth
    yield from _states(workers)
    for name, (text, fields) in GAUGES.items():
        gauge = GaugeMetricFamily(f"platform_inference_{name}", text, labels=_labels(fields))
        yield _filled(gauge, fields, workers)
    for name, (text, fields) in COUNTERS.items():
        counter = CounterMetricFamily(f"platform_inference_{name}", text, labels=_labels(fields))
        yield _filled(counter, fields, workers)
    for field, (name, text) in HISTOGRAMS.items():
        yield _histogram(field, f"platform_inference_{name}", text, workers)


def _states(workers: list[Heartbeat]) -> Iterator[Metric]:
    ready = GaugeMetricFamily("platform_inference_ready", "1 when ready", labels=LABELS)
    kernels = GaugeMetricFamily(
        "platform_inference_kernel",
        "Always 1: what a worker computes with, and how that proved right at its start",
        labels=(*LABELS, "kernel", "self_test"),
    )
    for worker in workers:
        ready.add_metric([worker.worker_id, worker.model], worker.state is WorkerState.READY)
        kernels.add_metric([worker.worker_id, worker.model, worker.kernel, worker.self_test], 1)
    yield from (ready, kernels)


def _labels(fields: dict[str, str]) -> tuple[str, ...]:
    return LABELS if "" in fields else (*LABELS, "kind")


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, fields: dict[str, str], workers: list[Heartbeat]
) -> Metric:
    for worker in workers:
        for kind, field in fields.items():
            family.add_metric([worker.worker_id, worker.model, *filter(None, [kind])], getattr(worker, field))
    return family


def _histogram(field: str, name: str, text: str, workers: list[Heartbeat]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=LABELS)
    for worker in workers:
        if observed := worker.histograms.get(field):
            buckets = _cumulative(observed, BOUNDS[field])
            family.add_metric([worker.worker_id, worker.model], buckets=buckets, sum_value=observed.total)
    return family


def _cumulative(observed: Histogram, bounds: tuple[float, ...]) -> list[tuple[str, float]]:
    """Prometheus' buckets: each with all that lie under it, and the last is called +Inf."""
    buckets, so_far = [], 0
    for bound, count in zip((*map(str, bounds), "+Inf"), observed.counts, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    return buckets
