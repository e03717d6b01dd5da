"""What became of the upstreams of models, told by every process and shown in the admin panel and the metrics.

Kept in Redis for a day after the last fault. Each process decides by itself whom it asks; this only tells.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import redis
from django.conf import settings
from django.utils import timezone

from inference.backends.base import BackendError
from inference.backends.routed import Route

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=1)
MOST_CHARS = 300
_KEY = "upstreams:"


@dataclass(frozen=True, kw_only=True)
class Health:
    """`num_faults` since a day without any; `rests_until` in the process that spoke last."""

    name: str
    num_faults: int
    fault: str
    at: datetime
    rests_until: datetime


def note(route: Route, fault: BackendError) -> None:
    """Tell of a fault, without waiting for Redis: a model is being asked."""
    logger.warning("upstream %s failed: %s", route.name, type(fault).__name__)
    now = timezone.now()
    told = {
        "fault": str(fault)[:MOST_CHARS],
        "at": now.timestamp(),
        "rests_until": now.timestamp() + route.breaker.rests_for_s,
    }
    threading.Thread(target=_write, args=(route.name, told), daemon=True).start()


def of(name: str) -> Health | None:
    """Of the upstream with this label; None if it has not failed within a day. Raises redis.RedisError."""
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        return _health(client, _KEY + name)


def all_told() -> list[Health]:
    """Of each that failed within a day, by name. Raises redis.RedisError."""
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        keys = sorted(client.scan_iter(match=f"{_KEY}*", count=1000))
        found = (_health(client, key) for key in keys)
        return [health for health in found if health is not None]


def _health(client: Any, key: str) -> Health | None:
    row = client.hgetall(key)
    if not row:
        return None
    times = {name: datetime.fromtimestamp(float(row[name]), UTC) for name in ("at", "rests_until")}
    return msgspec.convert({**row, **times, "name": key.removeprefix(_KEY)}, Health, strict=False)


def _write(name: str, told: dict[str, str | float]) -> None:
    try:
        with redis.Redis.from_url(settings.REDIS_URL) as client, client.pipeline() as pipeline:
            pipeline.hincrby(_KEY + name, "num_faults", 1)
            pipeline.hset(_KEY + name, mapping=told)  # type: ignore[arg-type]  # floats are written as text
            pipeline.expire(_KEY + name, KEPT_FOR)
            pipeline.execute()
    except redis.RedisError:
        logger.warning("could not tell of a fault of upstream %s", name)
