"""Chats of which nothing stays: they end when their person says so or signs out, or some hours after their
last use.

From then on they are nobody's. Their rows go last, after their logs and files, and only when no turn of them
is under way, so that a death at any moment leaves what the next sweep goes on with. What was paid stays paid.
"""

import logging
from datetime import timedelta
from uuid import UUID

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from redis.exceptions import RedisError

from chat import conversations, documents, events, workspaces
from chat.models import Conversation, Turn
from webapp.accounts.models import User
from webapp.database_clock import FromNow

logger = logging.getLogger(__name__)

AT_ONCE = 100


def time_to_live() -> timedelta:
    return timedelta(hours=settings.TEMPORARY_CHAT_HOURS)


def end(conversation: Conversation) -> None:
    """From now on it is nobody's. Raises nothing where it cannot be removed yet: the sweep goes on."""
    Conversation.objects.filter(pk=conversation.pk, ends_at__isnull=False).update(ends_at=FromNow())
    try:
        clear_ended(only=conversation)
    except (RedisError, OSError):
        logger.warning("conversation %s: what is left of it goes later", conversation.pk, exc_info=True)


def signed_out(user: User | None = None, **_signal: object) -> None:
    """Whoever signs out leaves nothing behind. A receiver of Django's signal."""
    if user is not None:
        end_all(user)


def end_all(user: User) -> None:
    for conversation in Conversation.objects.filter(user=user, ends_at__gt=FromNow()):
        end(conversation)


def clear_ended(*, only: Conversation | None = None) -> None:
    """Remove what has ended, for good; what is under way in it is stopped first."""
    ended = Conversation.objects.filter(ends_at__lte=FromNow())
    ended = ended.filter(pk=only.pk) if only else ended
    is_open = Turn.objects.filter(conversation=OuterRef("pk")).exclude(status=Turn.Status.FINISHED)
    for conversation in ended.filter(Exists(is_open))[:AT_ONCE]:
        with transaction.atomic():
            conversations.stop_turns(conversation)
    # A turn that is over keeps its lease until its last event is out: until then its log may grow.
    busy = Turn.objects.filter(conversation=OuterRef("pk")).filter(
        ~Q(status=Turn.Status.FINISHED) | Q(lease_until__isnull=False)
    )
    for conversation in ended.exclude(Exists(busy))[:AT_ONCE]:
        _remove(conversation)


def _remove(conversation: Conversation) -> None:
    turn_ids = list(conversation.turns.values_list("id", flat=True))
    async_to_sync(events.forget)(turn_ids)
    workspaces.forget([conversation.id])
    documents.forget(conversation.id)
    conversations.delete(conversation)


def prolong(conversation_id: UUID, *, by: timedelta = timedelta(0)) -> None:
    """It was just used, and is about to be for so long."""
    seconds = (time_to_live() + by).total_seconds()
    alive = Conversation.objects.filter(pk=conversation_id, ends_at__gt=FromNow())
    alive.update(ends_at=FromNow(seconds))
