"""Where a person keeps conversations: pinned, archived, in folders, under tags."""

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from chat.models import Conversation, Folder, Tag

MAX_TAGS = 20


def pin(conversation: Conversation, *, is_pinned: bool) -> None:
    """A conversation that is pinned is out of the archive."""
    conversation.pinned_at = (conversation.pinned_at or timezone.now()) if is_pinned else None
    if is_pinned:
        conversation.archived_at = None
    conversation.save(update_fields=["pinned_at", "archived_at"])


def archive(conversation: Conversation, *, is_archived: bool) -> None:
    """Out of the sidebar, and still found; no longer pinned."""
    conversation.archived_at = (conversation.archived_at or timezone.now()) if is_archived else None
    if is_archived:
        conversation.pinned_at = None
    conversation.save(update_fields=["pinned_at", "archived_at"])


def put(conversation: Conversation, *, folder: str, tags: Iterable[str]) -> None:
    """Into the folder of this name, which is made if need be (none: out of its folder), under these tags
    alone. Tags on nothing are no more."""
    user = conversation.user
    with transaction.atomic():
        conversation.folder = Folder.objects.get_or_create(user=user, name=folder)[0] if folder else None
        conversation.save(update_fields=["folder"])
        conversation.tags.set([Tag.objects.get_or_create(user=user, name=name)[0] for name in tags])
        Tag.objects.filter(user=user, conversations=None).delete()


def rename_folder(folder: Folder, *, name: str) -> None:
    folder.name = name
    folder.save(update_fields=["name"])


def delete_folder(folder: Folder) -> None:
    """Its conversations stay, in none."""
    folder.delete()
