"""The chat's pages and the fragments they swap. A view parses, calls, answers; another's row is 404."""

from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event
from django_htmx.middleware import HtmxDetails

from agents import limits
from chat import composer, conductors, conversations, drafts, preferences, presets, temporary, windows
from chat import sidebar as sidebars
from chat.forms import RenameForm
from chat.models import Conversation, Turn
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

CHANGED = ("conversations-changed", {"target": "#conversations"})  # an event of htmx's


class PageRequest(HttpRequest):
    """A request of a signed-in person, past htmx's middleware."""

    user: User
    htmx: HtmxDetails


@login_required
@require_GET
def new_chat(request: PageRequest) -> HttpResponse:
    last = Turn.objects.for_user(request.user).order_by("-created_at").first()
    return _page(request, conversation=None, last_turn=last)


@login_required
@require_GET
def conversation(request: PageRequest, conversation_id: UUID) -> HttpResponse:
    found = _conversation(request, conversation_id)
    return _page(request, conversation=found, last_turn=found.current_turn)


@login_required
@require_GET
def thread(request: PageRequest, conversation_id: UUID) -> HttpResponse:
    """The latest messages of the branch on show."""
    return _thread(request, _conversation(request, conversation_id))


@login_required
@require_GET
def earlier(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """What comes before a turn: a part of it, all from the turn `since` on, or the `whole`."""
    try:
        since = UUID(request.GET["since"]) if "since" in request.GET else None
    except ValueError:
        raise Http404 from None
    window = windows.before(_turn(request, turn_id), since=since, is_whole="whole" in request.GET)
    return render(request, "chat/_earlier.html", {"window": window})


@login_required
@require_GET
def head(request: PageRequest, conversation_id: UUID) -> HttpResponse:
    """The title and menu above the messages."""
    return render(request, "chat/_head.html", {"conversation": _conversation(request, conversation_id)})


@login_required
@require_POST
def show_branch(request: PageRequest, turn_id: UUID) -> HttpResponse:
    chosen = _turn(request, turn_id)
    conversations.show_branch(chosen.conversation, turn=chosen)
    return _thread(request, chosen.conversation, since=chosen.id)


@login_required
@require_http_methods(["GET", "POST"])
def rename(request: PageRequest, conversation_id: UUID) -> HttpResponse:
    """The dialog; on success the new title for the page's head, and the sidebar told to read itself again."""
    found = _conversation(request, conversation_id)
    form = RenameForm(request.POST or None, instance=found)
    if request.method == "POST" and form.is_valid():
        conversations.rename(found, title=form.cleaned_data["title"])
        context = {"conversation": found, "is_current": _is_current(request, found)}
        return trigger_client_event(render(request, "chat/_renamed.html", context), *CHANGED)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "chat/_rename.html", {"conversation": found, "form": form}, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: PageRequest, conversation_id: UUID) -> HttpResponse:
    """The question; on yes the conversation is gone, and so is the page if it showed it."""
    found = _conversation(request, conversation_id)
    if request.method == "GET":
        return render(request, "chat/_delete.html", {"conversation": found})
    is_current = _is_current(request, found)
    if found.is_temporary:
        temporary.end(found)
    else:
        conversations.delete(found)
    if is_current or not request.htmx:
        home = reverse("chat")
        return HttpResponseClientRedirect(home) if request.htmx else HttpResponseRedirect(home)
    return trigger_client_event(HttpResponse(), *CHANGED)


@login_required
@require_GET
def sidebar(request: PageRequest) -> HttpResponse:
    """The list of conversations, from the newest or from `before` on."""
    before = _moment(request.GET.get("before", ""))
    page = sidebars.page(request.user, now=timezone.now(), before=before)
    return render(request, "chat/_sidebar_list.html", {"page": page, "current": _shown(request)})


def _page(request: PageRequest, *, conversation: Conversation | None, last_turn: Turn | None) -> HttpResponse:
    models = list(ServedModel.objects.offered())
    own = preferences.of(request.user)
    context: dict[str, Any] = {
        "conversation": conversation,
        "window": windows.latest(conversation, is_whole="whole" in request.GET) if conversation else None,
        "models": models,
        "chosen": composer.choice(models, last_turn, begins="" if conversation else own.thinking),
        "begins": "" if conversation else own.thinking,
        "presets": composer.presets(),
        "teams": conductors.teams().teams,
        "highest": limits.HIGHEST,
        "currency": settings.BILLING_CURRENCY,
        "max_message_chars": settings.MAX_MESSAGE_CHARS,
        "max_file_mb": settings.ATTACHMENT_MB,
        "max_files": settings.ATTACHMENTS_OF_A_MESSAGE,
        "now_ms": int(timezone.now().timestamp() * 1000),
        "own": own,
        "draft": drafts.read(request.user, conversation),
        "own_presets": presets.of_user(request.user),
        "is_temporary": conversation.is_temporary if conversation else "temporary" in request.GET,
        "temporary_hours": settings.TEMPORARY_CHAT_HOURS,
    }
    return render(request, "chat/page.html", context)


def _thread(request: PageRequest, shown: Conversation, *, since: UUID | None = None) -> HttpResponse:
    return render(request, "chat/_thread.html", {"window": windows.latest(shown, since=since)})


def _conversation(request: PageRequest, conversation_id: UUID) -> Conversation:
    mine = Conversation.objects.for_user(request.user).select_related("current_turn", "preset")
    return get_object_or_404(mine, pk=conversation_id)


def _turn(request: PageRequest, turn_id: UUID) -> Turn:
    mine = Turn.objects.filter(conversation__user=request.user).select_related("conversation", "model")
    return get_object_or_404(mine, pk=turn_id)


def _shown(request: PageRequest) -> Conversation | None:
    """The conversation that the page which sent an htmx request is showing."""
    path = request.htmx.current_url_abs_path or ""
    shown = path.removeprefix(reverse("chat") + "c/").partition("/")[0]
    try:
        return Conversation(pk=UUID(shown))
    except ValueError:
        return None


def _is_current(request: PageRequest, conversation: Conversation) -> bool:
    return _shown(request) == conversation


def _moment(text: str) -> datetime | None:
    """The moment with its time zone; None for anything else."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment and timezone.is_aware(moment) else None
