"""API keys: made, recognised, revoked. A secret is shown by `create` alone; kept is its hash."""

import hashlib
import secrets
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from webapp.accounts.models import ApiKey, User

PREFIX_CHARS = 10
LAST_USED_PRECISION = timedelta(minutes=1)


def create(user: User, *, name: str) -> tuple[ApiKey, str]:
    """A new key and its secret, which cannot be had again."""
    secret = f"sk-{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        user=user, name=name[:80], prefix=secret[:PREFIX_CHARS], secret_hash=_hash(secret)
    )
    return key, secret


def authenticate(secret: str) -> ApiKey | None:
    """The key of this secret, with its user; None when it is unknown or revoked, or its user switched off."""
    key = (
        ApiKey.objects.select_related("user")
        .filter(secret_hash=_hash(secret), revoked_at=None, user__is_active=True)
        .first()
    )
    if key is not None:
        _note_use(key)
    return key


def revoke(key: ApiKey) -> None:
    """From now on the key opens nothing. A key that was revoked before keeps its date."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    key.refresh_from_db(fields=["revoked_at"])


def _note_use(key: ApiKey) -> None:
    """Write down the time of use, at most once a minute: a busy key costs no write a request."""
    now = timezone.now()
    is_stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_PRECISION)
    if key.last_used_at is None or key.last_used_at < now - LAST_USED_PRECISION:
        ApiKey.objects.filter(is_stale, pk=key.pk).update(last_used_at=now)


def _hash(secret: str) -> str:
    # The secret has 256 random bits: a fast hash is enough, and a slow one would cost every request.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
