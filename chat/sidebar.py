"""A person's conversations as the sidebar lists them: by day, newest first, a page at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from chat import activity
from chat.models import Conversation, Turn
from webapp.accounts.models import User

PAGE_ROWS = 50


@dataclass(frozen=True, kw_only=True)
class Group:
    name: str
    conversations: list[Conversation]


@dataclass(frozen=True, kw_only=True)
class Page:
    """`before` asks for the next page; None when this is the last. Each conversation has `is_running`, and
    `is_waiting` when a turn of it waits for the person."""

    groups: list[Group]
    before: datetime | None


def page(user: User, *, now: datetime, before: datetime | None = None) -> Page:
    """The conversations last used before this time, grouped by how long ago that was."""
    open_turns = Turn.objects.filter(conversation=OuterRef("pk")).exclude(status=Turn.Status.FINISHED)
    asking = open_turns.filter(status=Turn.Status.WAITING, waiting_for__in=activity.OF_A_PERSON)
    conversations = Conversation.objects.filter(user=user).annotate(
        is_running=Exists(open_turns), is_waiting=Exists(asking)
    )
    if before is not None:
        conversations = conversations.filter(updated_at__lt=before)
    rows = list(conversations.only("id", "title", "updated_at")[: PAGE_ROWS + 1])
    shown = rows[:PAGE_ROWS]
    return Page(
        groups=list(_grouped(shown, now=now)),
        before=shown[-1].updated_at if len(rows) > PAGE_ROWS else None,
    )


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
