"""How often, how much and how many at once, for everything that a caller counts under: requests a minute,
tokens a minute and a day, and leases on what is under way, taken together in one call of Redis.

Rates protect the machine, so when Redis is down everybody may pass, unless their key says otherwise; money is
safe all the same, elsewhere. A lease that nobody renews frees its place by itself: a process that was killed
blocks nobody for long.
"""

import logging
from collections.abc import Sequence
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
LIMITS = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
ANSWER_WITHIN_S = 0.5
WHICH = ("concurrency", "requests_per_minute", "tokens_per_minute", "tokens_per_day")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One of those that a caller counts under, and its limits; None: no limit."""

    kind: str  # key, user, project, team, model or global
    id: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrency: int | None = None


class RateLimited(Exception):
    """Refused for now; the text says which limit and when to come back, and is fit to show to a user.

    `retry_after_s` is None where waiting does not help: the request alone is more than the limit.
    """

    code = "rate_limited"

    def __init__(
        self,
        message: str,
        *,
        limit: int,
        retry_after_s: float | None,
        scope: str = "user",
        which: str = "requests_per_minute",
        used: int = 0,
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after_s = retry_after_s
        self.scope = scope
        self.which = which
        self.used = used


class LimitsUnknown(Exception):
    """Redis does not answer, and this key is not to be served without its limits."""

    code = "limits_unknown"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What is left of a rate."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What is left of the tightest rates after an admission; None where nothing limits."""

    requests: Rate | None
    tokens: Rate | None


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A place taken in each of the scopes, and `tokens` of each of their rates."""

    id: str
    kind: Kind
    scopes: tuple[Scope, ...]
    tokens: int
    allowance: Allowance | None


def take(
    kind: Kind,
    scopes: Sequence[Scope],
    *,
    lease_id: str,
    ttl_s: float,
    tokens: int = 0,
    fails_closed: bool = False,
) -> Lease:
    """Take a place, one request and so many tokens in every scope, all or none.

    Raises RateLimited, and LimitsUnknown where Redis does not answer and the caller `fails_closed`; else then
    nothing is limited, and the lease has no allowance. Again under the same lease takes no second place.
    """
    lease = Lease(id=lease_id, kind=kind, scopes=tuple(scopes), tokens=tokens, allowance=None)
    try:
        answer = _run("take", lease, ttl_s=ttl_s, tokens=tokens)
    except redis.RedisError as error:
        logger.warning("rate limits are off: Redis does not answer (%s)", type(error).__name__)
        if fails_closed:
            raise LimitsUnknown(
                _("The limits of this key cannot be checked right now. Try again soon.")
            ) from error
        return lease
    if not answer[0]:
        _one, scope, which, limit, used, wait_ms = answer
        raise _refusal(kind, scopes[scope - 1], WHICH[which - 1], limit=limit, used=used, wait_ms=wait_ms)
    allowance = Allowance(requests=_rate(answer[1:4]), tokens=_rate(answer[4:7]))
    return Lease(id=lease_id, kind=kind, scopes=lease.scopes, tokens=tokens, allowance=allowance)


def keep(lease: Lease, *, ttl_s: float, may_return: bool = False) -> None:
    """Keep the places for another `ttl_s`. Those that ran out stay lost, unless the lease `may_return`."""
    try:
        _run("return" if may_return else "renew", lease, ttl_s=ttl_s)
    except redis.RedisError:
        logger.warning("could not renew a %s's lease", lease.kind)


def give_back(lease: Lease, *, used_tokens: int | None = None) -> None:
    """Give the places back, and of the tokens those that were not used; again is harmless."""
    try:
        _run("leave", lease, tokens=lease.tokens if used_tokens is None else used_tokens)
    except redis.RedisError:
        logger.warning("could not give back a %s's lease", lease.kind)


def enter(
    kind: Kind, *, user_id: int, lease_id: str, ttl_s: float, key_id: UUID | None = None
) -> Allowance | None:
    """Take a place among what the user has under way and one unit of each rate, by the settings' limits."""
    return take(kind, by_settings(kind, user_id, key_id), lease_id=lease_id, ttl_s=ttl_s).allowance


def renew(kind: Kind, *, user_id: int, lease_id: str, ttl_s: float, may_enter: bool = False) -> None:
    """As `keep`, of a place that was taken by `enter`."""
    keep(_entered(kind, user_id, lease_id), ttl_s=ttl_s, may_return=may_enter)


def leave(kind: Kind, *, user_id: int, lease_id: str) -> None:
    """As `give_back`, of a place that was taken by `enter`."""
    give_back(_entered(kind, user_id, lease_id))


def _entered(kind: Kind, user_id: int, lease_id: str) -> Lease:
    scopes = by_settings(kind, user_id, None)
    return Lease(id=lease_id, kind=kind, scopes=scopes, tokens=0, allowance=None)


def by_settings(kind: Kind, user_id: int, key_id: UUID | None) -> tuple[Scope, ...]:
    """The scopes of a user, and of their key, with the limits that the settings give to all."""
    at_once, a_minute = {
        "turn": (settings.CONCURRENT_TURNS, settings.TURNS_PER_MINUTE),
        "upload": (settings.CONCURRENT_UPLOADS, settings.UPLOADS_PER_MINUTE),
        "request": (settings.CONCURRENT_REQUESTS, settings.REQUESTS_PER_MINUTE),
    }[kind]
    user = Scope(kind="user", id=str(user_id), requests_per_minute=a_minute, concurrency=at_once)
    if key_id is None:
        return (user,)
    return (user, Scope(kind="key", id=str(key_id), requests_per_minute=settings.KEY_REQUESTS_PER_MINUTE))


def _run(doing: str, lease: Lease, *, ttl_s: float = 0, tokens: int = 0) -> list[int]:
    keys, limits = [f"limits:{lease.kind}:lease:{lease.id}"], []
    for scope in lease.scopes:
        name = f"limits:{lease.kind}:{scope.kind}:{scope.id}"
        keys += [_leases(lease.kind, scope), f"{name}:rpm", f"{name}:tpm", f"{name}:tpd"]
        limits += [
            scope.concurrency or 0,
            scope.requests_per_minute or 0,
            scope.tokens_per_minute or 0,
            scope.tokens_per_day or 0,
        ]
    script = _script(settings.REDIS_URL)
    answer: list[int] = script(keys=keys, args=[doing, lease.id, int(ttl_s * 1000), tokens, *limits])
    return answer


def _leases(kind: Kind, scope: Scope) -> str:
    whose = scope.id if scope.kind == "user" else f"{scope.kind}:{scope.id}"
    return f"limits:{kind}:under_way:{whose}"


def _rate(told: list[int]) -> Rate | None:
    limit, remaining, reset_ms = told
    return None if limit < 0 else Rate(limit=limit, remaining=remaining, reset_s=reset_ms / 1000)


def _refusal(kind: Kind, scope: Scope, which: str, *, limit: int, used: int, wait_ms: int) -> RateLimited:
    retry_after_s = None if wait_ms < 0 else wait_ms / 1000
    if which == "concurrency":
        text = _at_once(kind, scope)
    elif retry_after_s is None:
        text = _("This request asks for more tokens than the %(limit)d that %(whose)s may use. Ask for a "
                 "shorter answer, or send less.")  # fmt: skip
    elif kind == "upload":
        text = _("Too many uploads: %(limit)d is the most. Try again in %(seconds).1f seconds.")
    elif which == "requests_per_minute" and kind == "turn":
        text = _("Your account may make %(limit)d turns a minute. Try again in %(seconds).1f seconds.")
    elif which == "requests_per_minute":
        text = _("%(whose)s may make %(limit)d requests a minute. Try again in %(seconds).1f seconds.")
    elif which == "tokens_per_minute":
        text = _("%(whose)s may use %(limit)d tokens a minute. Try again in %(seconds).1f seconds.")
    else:
        text = _("%(whose)s may use %(limit)d tokens a day. Try again in %(seconds).1f seconds.")
    whose = _whose(scope)
    message = text % {"limit": limit, "seconds": retry_after_s or 0, "whose": whose}
    return RateLimited(
        message[:1].upper() + message[1:],
        limit=limit,
        retry_after_s=retry_after_s,
        scope=scope.kind,
        which=which,
        used=used,
    )


def _at_once(kind: Kind, scope: Scope) -> str:
    if kind == "upload":
        return _("Too many uploads: %(limit)d is the most. Try again in %(seconds).1f seconds.")
    if kind == "turn":
        return _("%(limit)d of your turns are under way, which is the most at once. Wait for one to end.")
    if scope.kind == "user":
        return _("%(limit)d of your requests are under way, which is the most at once. Wait for one to end.")
    return _("%(limit)d requests of %(whose)s are under way, which is the most at once. Wait for one to end.")


def _whose(scope: Scope) -> str:
    names = {
        "key": _("this key"),
        "user": _("your account"),
        "project": _("your project"),
        "team": _("your team"),
        "model": _("this model"),
        "global": _("this platform"),
    }
    return names.get(scope.kind, scope.kind)


@cache
def _client(url: str) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(
        url,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
        retry=Retry(NoBackoff(), 1),  # the connection may date from before Redis restarted
    )


@cache
def _script(url: str) -> "redis.commands.core.Script":
    return _client(url).register_script(LIMITS)
