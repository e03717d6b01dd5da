"""A person's conversations as the sidebar lists them: what is pinned, the folders, then all by day, newest
first, a page at a time. Nothing that is archived."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from chat import activity
from chat.models import Conversation, Folder, Turn
from webapp.accounts.models import User

PAGE_ROWS = 50


@dataclass(frozen=True, kw_only=True)
class Group:
    name: str
    conversations: list[Conversation]


@dataclass(frozen=True, kw_only=True)
class Page:
    """`before` asks for the next page; None when this is the last. Each conversation has `is_running`, and
    `is_waiting` when a turn of it waits for the person. The first page has what is pinned, and
    the folders, each with `num_chats`."""

    groups: list[Group]
    before: datetime | None
    pinned: list[Conversation] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)


def page(user: User, *, now: datetime, before: datetime | None = None) -> Page:
    """The conversations last used before this time, grouped by how long ago that was."""
    mine = listed(user)
    unpinned = mine.filter(pinned_at=None)
    if before is not None:
        unpinned = unpinned.filter(updated_at__lt=before)
    rows = list(unpinned[: PAGE_ROWS + 1])
    shown = rows[:PAGE_ROWS]
    page = Page(
        groups=list(_grouped(shown, now=now)),
        before=shown[-1].updated_at if len(rows) > PAGE_ROWS else None,
    )
    if before is not None:
        return page
    pinned = mine.filter(pinned_at__isnull=False).order_by("-pinned_at")
    return replace(page, pinned=list(pinned), folders=folders(user))


def folders(user: User) -> list[Folder]:
    """Each with `num_chats`, which are not archived."""
    kept = Q(conversations__archived_at=None, conversations__ends_at=None)
    return list(Folder.objects.filter(user=user).annotate(num_chats=Count("conversations", filter=kept)))


def listed(user: User, *, is_archived: bool = False) -> "QuerySet[Conversation]":
    """Those that are not archived, or those that are, as a row shows them."""
    open_turns = Turn.objects.filter(conversation=OuterRef("pk")).exclude(status=Turn.Status.FINISHED)
    asking = open_turns.filter(status=Turn.Status.WAITING, waiting_for__in=activity.OF_A_PERSON)
    mine = Conversation.objects.for_user(user).kept().filter(archived_at__isnull=not is_archived)
    rows = mine.annotate(is_running=Exists(open_turns), is_waiting=Exists(asking))
    return rows.only("id", "title", "updated_at", "pinned_at")


def _grouped(conversations: list[Conversation], *, now: datetime) -> Iterable[Group]:
    today = timezone.localtime(now).date()

    def name(conversation: Conversation) -> str:
        age = today - timezone.localtime(conversation.updated_at).date()
        if age <= timedelta(0):
            return _("Today")
        if age == timedelta(days=1):
            return _("Yesterday")
        return _("Last 7 days") if age < timedelta(days=8) else _("Older")

    for title, members in groupby(conversations, key=name):
        yield Group(name=title, conversations=list(members))
