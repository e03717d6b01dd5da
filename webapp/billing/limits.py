"""How often and how many at once: requests a minute and leases on what is under way, in Redis.

Rates protect the machine, so when Redis is down everybody may pass; money is safe all the same, elsewhere.
A lease that nobody renews frees its place by itself: a process that was killed blocks nobody for long.
"""

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from uuid import UUID

import redis
from django.conf import settings
from django.utils.translation import gettext as _
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

Kind = Literal["request", "turn", "upload"]
ADMIT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
ANSWER_WITHIN_S = 0.5
SPARE_MS = 60_000


class RateLimited(Exception):
    """Refused for now; the text says which limit and when to come back, and is fit to show to a user."""

    code = "rate_limited"

    def __init__(self, message: str, *, limit: int, retry_after_s: float) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What is left of the tightest rate after an admission."""

    limit: int
    remaining: int
    reset_s: float


def enter(
    kind: Kind, *, user_id: int, lease_id: str, ttl_s: float, key_id: UUID | None = None
) -> Allowance | None:
    """Take a place among what the user has under way and one unit of each rate, all or none.

    Raises RateLimited. None when Redis does not answer: then nothing is limited. Entering again under the
    same lease takes no second place.
    """
    keys = [_leases(kind, user_id), f"limits:{kind}:user:{user_id}"]
    limits = list(_limits(kind))
    if key_id is not None:
        keys.append(f"limits:{kind}:key:{key_id}")
        limits.append(settings.KEY_REQUESTS_PER_MINUTE)
    try:
        answer = _admit()(keys=keys, args=[lease_id, int(ttl_s * 1000), *limits])
    except redis.RedisError as error:
        logger.warning("rate limits are off: Redis does not answer (%s)", type(error).__name__)
        return None
    is_admitted, first, second, wait_ms = answer
    if not is_admitted:
        raise _refusal(kind, index=first, limit=second, retry_after_s=wait_ms / 1000)
    return Allowance(limit=first, remaining=second, reset_s=wait_ms / 1000)


def renew(kind: Kind, *, user_id: int, lease_id: str, ttl_s: float, may_enter: bool = False) -> None:
    """Keep the place for another `ttl_s`. A lease that ran out stays lost, unless it `may_enter` again,
    whoever is there."""
    try:
        seconds, microseconds = _client(settings.REDIS_URL).time()
        expires_ms = seconds * 1000 + microseconds // 1000 + int(ttl_s * 1000)
        with _client(settings.REDIS_URL).pipeline() as pipeline:
            pipeline.zadd(_leases(kind, user_id), {lease_id: expires_ms}, xx=not may_enter)
            pipeline.pexpire(_leases(kind, user_id), int(ttl_s * 1000) + SPARE_MS)
            pipeline.execute()
    except redis.RedisError:
        logger.warning("could not renew a %s's lease", kind)


def leave(kind: Kind, *, user_id: int, lease_id: str) -> None:
    """Give the place back; again is harmless."""
    try:
        _client(settings.REDIS_URL).zrem(_leases(kind, user_id), lease_id)
    except redis.RedisError:
        logger.warning("could not give back a %s's lease", kind)


def _leases(kind: Kind, user_id: int) -> str:
    return f"limits:{kind}:under_way:{user_id}"


def _limits(kind: Kind) -> tuple[int, int]:
    """The most under way, and the most a minute."""
    if kind == "turn":
        return settings.CONCURRENT_TURNS, settings.TURNS_PER_MINUTE
    if kind == "upload":
        return settings.CONCURRENT_UPLOADS, settings.UPLOADS_PER_MINUTE
    return settings.CONCURRENT_REQUESTS, settings.REQUESTS_PER_MINUTE


def _refusal(kind: Kind, *, index: int, limit: int, retry_after_s: float) -> RateLimited:
    is_turn = kind == "turn"
    if kind == "upload":
        text = _("Too many uploads: %(limit)d is the most. Try again in %(seconds).1f seconds.")
    elif index == 1 and is_turn:
        text = _("%(limit)d of your turns are under way, which is the most at once. Wait for one to end.")
    elif index == 1:
        text = _("%(limit)d of your requests are under way, which is the most at once. Wait for one to end.")
    elif index == 3:
        text = _("This key may make %(limit)d requests a minute. Try again in %(seconds).1f seconds.")
    elif is_turn:
        text = _("Your account may make %(limit)d turns a minute. Try again in %(seconds).1f seconds.")
    else:
        text = _("Your account may make %(limit)d requests a minute. Try again in %(seconds).1f seconds.")
    message = text % {"limit": limit, "seconds": retry_after_s}
    return RateLimited(message, limit=limit, retry_after_s=retry_after_s)


@cache
def _client(url: str) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(
        url,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
        retry=Retry(NoBackoff(), 1),  # the connection may date from before Redis restarted
    )


def _admit() -> "redis.commands.core.Script":
    return _client(settings.REDIS_URL).register_script(ADMIT)
