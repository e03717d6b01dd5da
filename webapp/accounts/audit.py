"""The audit log writes itself: whatever a signed-in person, or a command, changes of these rows is an entry
with what was before and after. Rows are audited by name in AUDITED; secrets are told as changed, not shown.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model
from django.db.models.signals import post_delete, post_save, pre_save
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from webapp.accounts import attempts
from webapp.accounts.models import AuditEntry

AUDITED = (
    "accounts.User",
    "accounts.Team",
    "accounts.Membership",
    "accounts.Invitation",
    "accounts.Project",
    "accounts.ApiKey",
    "catalog.ServedModel",
    "catalog.Upstream",
    "catalog.SearchEngine",
    "billing.Price",
    "billing.Plan",
    "billing.Quota",
    "billing.Budget",
    "billing.Voucher",
    "billing.Account",
    "billing.LedgerEntry",
)
UNSAID = {  # what changes by itself, or by work and not by a person's word
    "last_login",
    "last_used_at",
    "balance_nano",
    "held_nano",
    "spent_nano",
    "spent_on",
    "spent_today_nano",
    "period_began",
}
SECRET = {"password", "secret_hash", "previous_hash", "code_hash", "token_hash"}
SHOWN_CHARS = 500


@dataclass(frozen=True)
class Actor:
    name: str
    address: str = ""


_actor: ContextVar[Actor | HttpRequest | None] = ContextVar("audit_actor", default=None)


@contextmanager
def acting(name: str, *, address: str = "") -> Iterator[None]:
    """What is changed within is this one's doing: for commands and tasks."""
    token = _actor.set(Actor(name, address))
    try:
        yield
    finally:
        _actor.reset(token)


class Middleware(MiddlewareMixin):
    """What a request changes is its user's doing."""

    def process_request(self, request: HttpRequest) -> None:
        _actor.set(request if request.method not in {"GET", "HEAD", "OPTIONS"} else None)

    def process_response(self, _request: HttpRequest, response: HttpResponse) -> HttpResponse:
        _actor.set(None)
        return response


def watch() -> None:
    """Called once, when the apps are ready."""
    for label in AUDITED:
        model = apps.get_model(label)
        pre_save.connect(_look, sender=model, dispatch_uid=f"audit_look_{label}")
        post_save.connect(_saved, sender=model, dispatch_uid=f"audit_saved_{label}")
        post_delete.connect(_deleted, sender=model, dispatch_uid=f"audit_deleted_{label}")


def _who() -> Actor | None:
    actor = _actor.get()
    if isinstance(actor, HttpRequest):
        user = getattr(actor, "user", None)
        if user is None or not user.is_authenticated:
            return None
        return Actor(user.get_username(), attempts.address(actor))
    return actor


def _look(*, instance: Model, raw: bool = False, **_signal: object) -> None:
    if raw or _who() is None:
        return
    old = None if instance._state.adding else type(instance)._default_manager.filter(pk=instance.pk).first()
    instance._audit_before = _told(old) if old is not None else {}  # type: ignore[attr-defined]


def _saved(*, instance: Model, created: bool, raw: bool = False, **_signal: object) -> None:
    before = getattr(instance, "_audit_before", None)
    if raw or before is None:
        return
    after = _told(instance)
    changed = [name for name in after if before.get(name) != after[name]]
    if created:
        _write(instance, AuditEntry.Action.CREATED, {}, after)
    elif changed:
        told = {name: before.get(name) for name in changed}
        _write(instance, AuditEntry.Action.CHANGED, told, {name: after[name] for name in changed})


def _deleted(*, instance: Model, **_signal: object) -> None:
    if _who() is not None:
        _write(instance, AuditEntry.Action.DELETED, _told(instance), {})


def _write(instance: Model, action: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    actor = _who()
    if actor is None:
        return
    AuditEntry.objects.create(
        actor=actor.name[:150],
        address=actor.address[:64],
        action=action,
        kind=instance._meta.model_name or "",
        subject_id=str(instance.pk)[:64],
        subject=str(instance)[:200],
        before=_veiled(before),
        after=_veiled(after),
        team_id=_team_of(instance),
    )


def _told(instance: Model) -> dict[str, Any]:
    """The row's columns as JSON has them; a secret by its hash, which `_veiled` takes out again."""
    told = {}
    for field in instance._meta.concrete_fields:
        if field.name not in UNSAID and not field.primary_key:
            value = field.value_from_object(instance)
            is_plain = isinstance(value, str | int | float | bool | list | dict | None)
            told[field.name] = value if is_plain else DjangoJSONEncoder().default(value)
    return told


def _veiled(told: dict[str, Any]) -> dict[str, Any]:
    return {name: "•••" if name in SECRET and value else _short(value) for name, value in told.items()}


def _short(value: Any) -> Any:
    return f"{value[:SHOWN_CHARS]}…" if isinstance(value, str) and len(value) > SHOWN_CHARS else value


def _team_of(instance: Model) -> UUID | None:
    """The team whose business it is, if any."""
    if instance._meta.model_name == "team":
        return UUID(str(instance.pk))
    if (team_id := getattr(instance, "team_id", None)) is not None:
        return UUID(str(team_id))
    project = getattr(instance, "project", None)
    return project.team_id if project is not None else None
