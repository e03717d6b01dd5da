"""What this process counts of its data plane, in a registry of the platform's own; webapp.health shows it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

requests = Counter(
    "platform_api_requests", "Answers of the API by route and status", ["route", "status"], registry=REGISTRY
)
under_way = Gauge("platform_api_requests_under_way", "Chat requests being answered now", registry=REGISTRY)
first_token_s = Histogram(
    "platform_api_time_to_first_token_seconds",
    "From the request's arrival to its first token",
    ["model"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
duration_s = Histogram(
    "platform_api_request_seconds",
    "From the request's arrival to the end of its answer",
    ["model", "finish_reason"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
