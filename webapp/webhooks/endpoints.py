"""Every change of an endpoint. A secret is told once, when it is made."""

import base64
import secrets
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from agents import url_guard
from agents.url_guard import Rules, UrlRefused
from webapp.accounts.models import ApiKey, User
from webapp.webhooks.models import Endpoint

RESPONSES = ("response.completed", "response.failed", "response.incomplete", "response.cancelled")
BATCHES = ("batch.completed", "batch.failed", "batch.expired", "batch.cancelled")
TURNS = ("turn.finished", "turn.waiting")
EVENT_TYPES = (*RESPONSES, *BATCHES, *TURNS)
MOST_OF_A_USER = 20
NAME_CHARS = 80


class BadEndpoint(Exception):
    """It was not made or changed; `param` is what is wrong with it, the text says what to do."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def create(
    user: User, *, url: str, event_types: Sequence[str], name: str, api_key: ApiKey | None = None
) -> Endpoint:
    """Raises BadEndpoint."""
    if Endpoint.objects.for_user(user).count() >= MOST_OF_A_USER:
        raise BadEndpoint("url", _("There are as many endpoints as there may be: delete one first."))
    return Endpoint.objects.create(
        user=user,
        api_key=api_key,
        name=_name(name),
        url=_url(url),
        event_types=_event_types(event_types),
        secret=_secret(),
    )


def update(
    endpoint: Endpoint,
    *,
    url: str | None = None,
    event_types: Sequence[str] | None = None,
    name: str | None = None,
) -> None:
    """What is None stays. Raises BadEndpoint."""
    changes: dict[str, Any] = {}
    if url is not None:
        changes |= {"url": _url(url), "is_active": True}
    if event_types is not None:
        changes["event_types"] = _event_types(event_types)
    if name is not None:
        changes["name"] = _name(name)
    _change(endpoint, **changes)


def rotate_secret(endpoint: Endpoint) -> None:
    """From now on what is sent is signed with another secret, retries included."""
    _change(endpoint, secret=_secret())


def rules() -> Rules:
    """Where events may be sent: the internet, and the operator's own receivers."""
    return Rules(private_hosts=frozenset(settings.WEBHOOK_PRIVATE_HOSTS))


def _change(endpoint: Endpoint, **changes: Any) -> None:
    changed = {name: value for name, value in changes.items() if getattr(endpoint, name) != value}
    if not changed:
        return
    changed["updated_at"] = timezone.now()
    for name, value in changed.items():
        setattr(endpoint, name, value)
    endpoint.save(update_fields=list(changed))


def _url(url: str) -> str:
    try:
        return str(url_guard.check(url, rules=rules()))
    except UrlRefused as refusal:
        raise BadEndpoint("url", str(refusal)) from refusal


def _event_types(asked: Sequence[str]) -> list[str]:
    if not asked:
        raise BadEndpoint("event_types", _("Choose at least one kind of event."))
    if unknown := [kind for kind in asked if kind not in EVENT_TYPES]:
        raise BadEndpoint(
            "event_types",
            _("There are no events %(kind)s here. Choose from: %(kinds)s.")
            % {"kind": unknown[0][:60], "kinds": ", ".join(EVENT_TYPES)},
        )
    return sorted(set(asked))


def _name(name: str) -> str:
    if not name.strip() or len(name) > NAME_CHARS or not name.isprintable():
        raise BadEndpoint("name", _("Give the endpoint a name of at most 80 characters."))
    return name.strip()


def _secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
