"""How often, in a quarter of an hour, a password may be guessed, a reset mail asked for, a shared chat read.

Counted for a name from an address, since by the name alone anybody could lock anybody out; and before the
password is looked at, so that many at once are no more than one by one. Without Redis nobody is kept out.
"""

import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import Literal

import redis
from django.conf import settings
from django.http import HttpRequest
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

Kind = Literal["sign_in", "sign_up", "reset", "shared", "voucher", "invite"]
MOST: dict[Kind, int] = {
    **{"sign_in": 10, "sign_up": settings.SIGN_UPS_OF_A_NETWORK, "reset": 5},
    **{"voucher": 10, "shared": 300, "invite": 30},
}
WITHIN_S = 15 * 60
ANSWER_WITHIN_S = 0.5
COUNT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")


def take(kind: Kind, name: str, request: HttpRequest | None) -> float:
    """Count one attempt: 0, or the seconds to wait before the next is looked at."""
    try:
        count = _client(settings.REDIS_URL).register_script(COUNT)
        return int(count(keys=[_key(kind, name, request)], args=[MOST[kind], WITHIN_S * 1000])) / 1000
    except redis.RedisError as error:
        logger.warning("attempts are not counted: Redis does not answer (%s)", type(error).__name__)
        return 0


def forget(kind: Kind, name: str, request: HttpRequest | None) -> None:
    """The password was right: what was wrong before counts no more."""
    try:
        _client(settings.REDIS_URL).delete(_key(kind, name, request))
    except redis.RedisError:
        logger.warning("could not forget the attempts before a sign-in")


def address(request: HttpRequest | None) -> str:
    """Where the request comes from: behind a proxy of ours, what that proxy wrote last."""
    if request is None:
        return ""
    forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", "")) if settings.BEHIND_PROXY else ""
    return forwarded.rpartition(",")[2].strip() or str(request.META.get("REMOTE_ADDR") or "")


def _key(kind: Kind, name: str, request: HttpRequest | None) -> str:
    # Hashed: of one length whatever is typed, and no list of who signs in from where.
    whose = f"{address(request)}\n{name.lower()}".encode("utf-8", "surrogatepass")
    return f"accounts:attempts:{kind}:{hashlib.sha256(whose).hexdigest()}"


@cache
def _client(url: str) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(
        url,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
        retry=Retry(NoBackoff(), 1),  # the connection may date from before Redis restarted
    )
