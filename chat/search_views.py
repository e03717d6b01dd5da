"""The search page, the palette's hits, and the way to a message on whatever branch."""

from datetime import date
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_GET

from chat import branches, conversations, search
from chat.models import Conversation, Folder, Turn
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

PALETTE_CHATS, PALETTE_MESSAGES, PALETTE_SOURCES = 5, 8, 5


class SignedInRequest(HttpRequest):
    user: User


@login_required
@require_GET
def page(request: SignedInRequest) -> HttpResponse:
    """Chats and messages that hold the words; further pages have messages alone."""
    query, before = _query(request), _number(request.GET.get("before", ""))
    found = search.messages(request.user, query, before=before)
    asked = request.GET.copy()
    asked["before"] = str(found.before)
    context = {
        "query": query,
        "chats": [] if before else search.chats(request.user, query),
        "found": found,
        "older": asked.urlencode(),
        "is_first": before is None,
        "models": ServedModel.objects.offered(),
        "folders": Folder.objects.filter(user=request.user),
    }
    return render(request, "chat/search.html", context)


@login_required
@require_GET
def palette(request: SignedInRequest) -> HttpResponse:
    """The dialog of search and commands."""
    return render(request, "chat/_palette.html", {"themes": User.Theme.choices})


@login_required
@require_GET
def keys(request: SignedInRequest) -> HttpResponse:
    """The dialog that lists what keys do."""
    return render(request, "chat/_keys.html")


@login_required
@require_GET
def hits(request: SignedInRequest) -> HttpResponse:
    """What the palette lists for these words; without any, the chats last used."""
    query = _query(request)
    context: dict[str, Any] = {
        "chats": search.chats(request.user, query, limit=PALETTE_CHATS),
        "found": search.messages(request.user, query, limit=PALETTE_MESSAGES),
        "sources": search.sources(request.user, query, limit=PALETTE_SOURCES),
        "recent": [] if query.words else Conversation.objects.for_user(request.user).kept()[:PALETTE_CHATS],
    }
    return render(request, "chat/_hits.html", context)


@login_required
@require_GET
def at_turn(request: SignedInRequest, turn_id: UUID) -> HttpResponse:
    """Go to a message, or to where it cites its `source` of that number; if it is not on the branch on show,
    its own is from now on."""
    mine = (
        Turn.objects.for_user(request.user)
        .filter(spawned_by=None)
        .select_related("conversation__current_turn")
    )
    turn = get_object_or_404(mine, pk=turn_id)
    shown = branches.path(branches.family(turn.conversation), turn.conversation.current_turn_id)
    if turn.id not in shown:
        conversations.show_branch(turn.conversation, turn=turn)
    source = _number(request.GET.get("source", ""))
    place = f"#turn-{turn.id}" + (f".{source}" if source else "")
    return redirect(reverse("conversation", args=[turn.conversation_id]) + place)


def _query(request: HttpRequest) -> search.Query:
    """What a broken address says amiss counts as not said."""
    asked = request.GET
    return search.Query(
        text=asked.get("q", "").strip()[: search.MAX_CHARS],
        since=_day(asked.get("since", "")),
        until=_day(asked.get("until", "")),
        model=asked.get("model", ""),
        folder=_number(asked.get("folder", "")),
    )


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None
