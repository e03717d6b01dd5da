"""Everything that a caller counts under, with the limits that hold there: their key, themselves, their
project and team, the model, everybody. An operator's quota goes first, then the plan of the account that
pays, then the settings. Looked up at most once a second, for it stands before each request.
"""

import time
from collections.abc import Iterable
from threading import Lock
from typing import Any

from django.conf import settings
from django.db.models import Q

from webapp.accounts.models import ApiKey, Project, User
from webapp.billing import accounts, pricing
from webapp.billing import models as rows
from webapp.billing.limits import Scope
from webapp.billing.models import Account, Plan, Quota

REMEMBERED_S = 1.0
MOST_REMEMBERED = 10_000
LIMITS = ("concurrency", "requests_per_minute", "tokens_per_minute", "tokens_per_day")

_remembered: dict[tuple[str, int, str], tuple[float, tuple[Scope, ...]]] = {}
_lock = Lock()


def of(key: ApiKey, *, model: str) -> tuple[Scope, ...]:
    """The scopes of a request with this key: key, user, project, team, model, everybody."""
    return _recalled((str(key.pk), key.user_id, model), key.user, key, model)


def of_user(user: User, *, model: str) -> tuple[Scope, ...]:
    """The scopes of what a person asks for in the chat."""
    return _recalled(("", user.pk, model), user, None, model)


def forget() -> None:
    with _lock:
        _remembered.clear()


def plan_of(account: Account) -> Plan | None:
    """The plan that an operator chose, or the highest one that its top-ups have reached."""
    if account.plan is not None:
        return account.plan
    reached = Plan.objects.filter(from_top_up__lte=pricing.to_decimal(accounts.topped_up_nano(account)))
    return reached.order_by("-from_top_up").first()


def _recalled(which: tuple[str, int, str], user: User, key: ApiKey | None, model: str) -> tuple[Scope, ...]:
    found = _remembered.get(which)
    now = time.monotonic()
    if found is not None and now - found[0] < REMEMBERED_S:
        return found[1]
    scopes = _looked_up(user, key, model)
    with _lock:
        if len(_remembered) >= MOST_REMEMBERED:
            _remembered.clear()
        _remembered[which] = (now, scopes)
    return scopes


def _looked_up(user: User, key: ApiKey | None, model: str) -> tuple[Scope, ...]:
    project = key.project if key else None
    named: list[tuple[str, str]] = [(rows.Scope.KEY, str(key.pk))] if key else []
    named.append((rows.Scope.USER, str(user.pk)))
    if project is not None:
        named += [(rows.Scope.PROJECT, str(project.pk)), (rows.Scope.TEAM, str(project.team_id))]
    named += [(rows.Scope.MODEL, model), (rows.Scope.GLOBAL, "")]
    quotas = {(quota.scope, quota.subject): quota for quota in _quotas(named)}
    defaults = _defaults(user, project)
    return tuple(
        Scope(kind=str(kind), id=id, **_limits(quotas.get((kind, id)), defaults.get(str(kind), {})))
        for kind, id in named
    )


def _quotas(named: Iterable[tuple[str, str]]) -> Iterable[Quota]:
    of_any = Q(pk=None)
    for scope, subject in named:
        of_any |= Q(scope=scope, subject=subject)
    return Quota.objects.filter(of_any)


def _defaults(user: User, project: Project | None) -> dict[str, dict[str, int | None]]:
    """The limits without a quota: whoever pays goes by the plan of their account."""
    of_user: dict[str, int | None] = {
        "concurrency": settings.CONCURRENT_REQUESTS,
        "requests_per_minute": settings.REQUESTS_PER_MINUTE,
    }
    payer = "user" if project is None else "team"
    plan = plan_of(accounts.paying(user, project))
    of_payer = {name: getattr(plan, name) for name in LIMITS} if plan else of_user
    return {
        "key": {"requests_per_minute": settings.KEY_REQUESTS_PER_MINUTE},
        "user": of_user,
        payer: of_payer,
    }


def _limits(quota: Quota | None, default: dict[str, int | None]) -> dict[str, Any]:
    return default if quota is None else {name: getattr(quota, name) for name in LIMITS}
