"""API keys: made, recognised, rotated, revoked. A secret is shown by `create` and `rotate` alone; kept is
its hash.

What was looked up is kept for less than a second: a busy key costs no query a request, and a key that was
revoked is refused within a second by every process, whoever revoked it, with or without Redis.
"""

import hashlib
import ipaddress
import secrets
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Lock

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.accounts.models import ApiKey, Project, Role, User

PREFIX_CHARS = 10
LAST_USED_PRECISION = timedelta(minutes=1)
REMEMBERED_S = 0.8
MOST_REMEMBERED = 10_000
GRACE = timedelta(hours=24)
USERS = (Role.OWNER, Role.ADMIN, Role.MEMBER)  # the roles whose service keys open anything
SCOPES = ("inference", "models", "files", "batches", "runs", "usage")

_remembered: dict[str, tuple[float, ApiKey]] = {}
_lock = Lock()


class KeyForbids(Exception):
    """The key is good, but not for this; the text is fit to show to its owner."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def create(
    user: User,
    *,
    name: str,
    project: Project | None = None,
    scopes: Sequence[str] = (),
    model_names: Sequence[str] = (),
    networks: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its secret, which cannot be had again. Raises ValueError for an unknown scope or what is
    no network."""
    if unknown := set(scopes) - set(SCOPES):
        raise ValueError(f"There is no scope {sorted(unknown)[0]!r}: they are {', '.join(SCOPES)}.")
    secret = _new_secret()
    key = ApiKey.objects.create(
        user=user,
        project=project,
        name=name[:80],
        prefix=secret[:PREFIX_CHARS],
        secret_hash=_hash(secret),
        scopes=list(scopes),
        model_names=list(model_names),
        networks=[str(network(text)) for text in networks],
        expires_at=expires_at,
    )
    return key, secret


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Raises ValueError for what is neither an address nor a network like 10.0.0.0/8."""
    return ipaddress.ip_network(text.strip(), strict=False)


def authenticate(secret: str) -> ApiKey | None:
    """The key of this secret, with its user, project and team; None when it is unknown, revoked or expired,
    its user switched off, its project or team archived, or its user's role in that team does not use it."""
    secret_hash = _hash(secret)
    key = _recall(secret_hash)
    if key is None:
        looked_at = time.monotonic()
        key = _good().filter(_has(secret_hash)).first()
        if key is None:
            return None
        _remember(secret_hash, key, looked_at)
    if key.expires_at is not None and key.expires_at <= timezone.now():
        return None
    _note_use(key)
    return key


def check(key: ApiKey, *, scope: str, model: str = "", address: str | None = "") -> None:
    """Raises KeyForbids unless the key is good for this scope, this model and a caller at this address; None:
    its address was checked when it called."""
    if key.scopes and scope not in key.scopes:
        text = _("This key lacks the scope %(scope)s: use one that has it.")
        raise KeyForbids("scope_missing", text % {"scope": scope})
    if model and key.model_names and model not in key.model_names:
        text = _("This key is not for the model %(model)s, but for %(models)s.")
        raise KeyForbids("model_not_allowed", text % {"model": model, "models": ", ".join(key.model_names)})
    if key.networks and address is not None and not _is_within(address, key.networks):
        text = _("This key is not for callers at %(address)s. Its owner can add your network to the key.")
        raise KeyForbids("address_not_allowed", text % {"address": address or "?"})


def rotate(key: ApiKey, *, grace: timedelta = GRACE) -> str:
    """A new secret for the key, which cannot be had again. The one of before is good for the grace, which
    may be none; the one before that, no more."""
    secret = _new_secret()
    with transaction.atomic():
        key = ApiKey.objects.select_for_update().get(pk=key.pk, revoked_at=None)
        key.previous_hash = key.secret_hash if grace else None
        key.previous_until = timezone.now() + grace if grace else None
        key.secret_hash, key.prefix = _hash(secret), secret[:PREFIX_CHARS]
        key.save(update_fields=["secret_hash", "prefix", "previous_hash", "previous_until"])
    forget()
    return secret


def revoke(key: ApiKey) -> None:
    """From now on the key opens nothing. A key that was revoked before keeps its date."""
    with transaction.atomic():
        locked = ApiKey.objects.select_for_update().get(pk=key.pk)
        if locked.revoked_at is None:
            locked.revoked_at = timezone.now()
            locked.save(update_fields=["revoked_at"])
    key.revoked_at = locked.revoked_at
    forget()


def forget() -> None:
    """Look every key up anew in this process; the others do so within REMEMBERED_S."""
    with _lock:
        _remembered.clear()


def is_good(key: ApiKey) -> bool:
    """Whether the key opens anything now; asked of the database."""
    is_over = key.expires_at is not None and key.expires_at <= timezone.now()
    return not is_over and _good().filter(pk=key.pk).exists()


def _good() -> QuerySet[ApiKey]:
    keys = ApiKey.objects.select_related("user", "project__team").filter(
        revoked_at=None, user__is_active=True
    )
    of_project = Q(project__archived_at=None, project__team__archived_at=None)
    # A service key is worth what its maker's role is worth now.
    of_member = Q(project__team__memberships__user=F("user"), project__team__memberships__role__in=USERS)
    return keys.filter(Q(project=None) | (of_project & of_member))


def _has(secret_hash: str) -> Q:
    return Q(secret_hash=secret_hash) | Q(previous_hash=secret_hash, previous_until__gt=timezone.now())


def _recall(secret_hash: str) -> ApiKey | None:
    found = _remembered.get(secret_hash)
    return found[1] if found is not None and time.monotonic() - found[0] < REMEMBERED_S else None


def _remember(secret_hash: str, key: ApiKey, looked_at: float) -> None:
    with _lock:
        if len(_remembered) >= MOST_REMEMBERED:
            _remembered.clear()
        # From before the look: what was revoked while it was under way is not kept any longer for that.
        _remembered[secret_hash] = (looked_at, key)


def _is_within(address: str, networks: Sequence[str]) -> bool:
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped:
        caller = caller.ipv4_mapped
    return any(caller in network(text) for text in networks)


def _note_use(key: ApiKey) -> None:
    """Write down the time of use, at most once a minute: a busy key costs no write a request."""
    now = timezone.now()
    is_stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_PRECISION)
    if key.last_used_at is None or key.last_used_at < now - LAST_USED_PRECISION:
        ApiKey.objects.filter(is_stale, pk=key.pk).update(last_used_at=now)
        key.last_used_at = now


def _new_secret() -> str:
    return f"sk-{secrets.token_urlsafe(32)}"


def _hash(secret: str) -> str:
    # The secret has 256 random bits: a fast hash is enough, and a slow one would cost every request.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
