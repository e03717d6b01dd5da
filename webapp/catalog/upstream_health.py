"""What became of the upstreams of models, told by every process and shown in the admin panel and the metrics.

Kept in Redis for a day after the last fault. Each process decides by itself whom it asks; this only tells.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import redis
from django.conf import settings
from django.utils import timezone

from inference.backends.base import BackendError
from inference.backends.routed import Route

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=1)
MOST_CHARS = 300
WITHIN_S = 5.0
_KEY = "upstream:"
_NAMES = "upstreams"  # of those that failed, by when they last did


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
        return _health(name, client.hgetall(_KEY + name))


def all_told() -> list[Health]:
    """Of each that failed within a day, by name. Raises redis.RedisError."""
    since = (timezone.now() - KEPT_FOR).timestamp()
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        names = sorted(client.zrangebyscore(_NAMES, since, "+inf"))
        with client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hgetall(_KEY + name)
            rows = pipeline.execute()
    found = (_health(name, row) for name, row in zip(names, rows, strict=True))
    return [health for health in found if health is not None]


def _health(name: str, row: dict[str, str]) -> Health | None:
    if not row:
        return None
    times = {moment: datetime.fromtimestamp(float(row[moment]), UTC) for moment in ("at", "rests_until")}
    return msgspec.convert({**row, **times, "name": name}, Health, strict=False)


def _write(name: str, told: dict[str, str | float]) -> None:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=WITHIN_S) as client:
            pipeline = client.pipeline()
            pipeline.hincrby(_KEY + name, "num_faults", 1)
            pipeline.hset(_KEY + name, mapping=told)  # type: ignore[arg-type]  # floats are written as text
            pipeline.expire(_KEY + name, KEPT_FOR)
            pipeline.zadd(_NAMES, {name: told["at"]})
            pipeline.zremrangebyscore(_NAMES, "-inf", float(told["at"]) - KEPT_FOR.total_seconds())
            pipeline.execute()
    except redis.RedisError:
        logger.warning("could not tell of a fault of upstream %s", name)
