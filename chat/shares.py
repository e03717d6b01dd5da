"""Links to frozen copies of conversations: made, found by their token, revoked."""

import hashlib
import secrets
from datetime import timedelta

import msgspec
from django.utils import timezone

from chat import snapshots
from chat.models import Conversation, Share
from chat.models.shares import ShareQuerySet
from chat.snapshots import Snapshot
from webapp.accounts.models import User

TOKEN_BYTES = 16
MOST_OF_A_USER = 200


class TooManyShares(Exception):
    """The person has as many links as anybody may have."""


def create(conversation: Conversation, *, with_reasoning: bool, days: int) -> tuple[Share, str]:
    """A link to the branch on show as it is now: its row, and its token, which is never to be had again.
    Raises TooManyShares and snapshots.NothingFinished."""
    clear_ended()
    if _live().for_user(conversation.user).count() >= MOST_OF_A_USER:
        raise TooManyShares
    snapshot = snapshots.of_branch(conversation, with_reasoning=with_reasoning)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    share = Share.objects.create(
        user=conversation.user,
        conversation=conversation,
        token_sha256=_fingerprint(token),
        title=conversation.title,
        content=msgspec.to_builtins(snapshot),
        with_reasoning=with_reasoning,
        expires_at=timezone.now() + timedelta(days=days),
    )
    return share, token


def find(token: str) -> Share | None:
    """What the link shows; None when there is none such, when it has ended, or its person has gone."""
    live = _live().filter(token_sha256=_fingerprint(token), user__is_active=True)
    return live.select_related("user").first()


def snapshot_of(share: Share) -> Snapshot:
    return msgspec.convert(share.content, type=Snapshot)


def of_user(user: User) -> list[Share]:
    return list(_live().for_user(user).defer("content").select_related("conversation"))


def revoke(share: Share) -> None:
    """From now on the link leads nowhere, and the copy is gone."""
    share.delete()


def clear_ended() -> None:
    """Remove the copies whose links have ended."""
    Share.objects.filter(expires_at__lte=timezone.now()).delete()


def _live() -> ShareQuerySet:
    return Share.objects.all().filter(expires_at__gt=timezone.now())


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
