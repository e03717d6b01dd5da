"""Pages and forms that keep conversations in order. Every form works without script; with it, as a dialog."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh, trigger_client_event
from django_htmx.middleware import HtmxDetails

from chat import organising
from chat import sidebar as sidebars
from chat.models import Conversation, Folder, Tag
from chat.organising_forms import FolderForm, OrganiseForm
from webapp.accounts.models import User

PAGE_ROWS = 100
CHANGED = ("conversations-changed", {"target": "#conversations"})


class SignedInRequest(HttpRequest):
    user: User
    htmx: HtmxDetails


@login_required
@require_http_methods(["GET", "POST"])
def organise(request: SignedInRequest, conversation_id: UUID) -> HttpResponse:
    """The folder and the tags of a conversation."""
    found = _conversation(request, conversation_id)
    form = OrganiseForm(request.POST or None, conversation=found)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        organising.put(found, folder=data["folder"], tags=data["tags"])
        return _changed(request, found)
    context = {
        "conversation": found,
        "form": form,
        "folders": Folder.objects.filter(user=request.user),
        "tags": Tag.objects.filter(user=request.user),
        "frame": "chat/_bare.html" if request.htmx else "app.html",
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "chat/organise.html", context, status=status)


@login_required
@require_POST
def pin(request: SignedInRequest, conversation_id: UUID) -> HttpResponse:
    found = _conversation(request, conversation_id)
    organising.pin(found, is_pinned=request.POST.get("on") == "1")
    return _changed(request, found)


@login_required
@require_POST
def archive(request: SignedInRequest, conversation_id: UUID) -> HttpResponse:
    found = _conversation(request, conversation_id)
    organising.archive(found, is_archived=request.POST.get("on") == "1")
    return _changed(request, found)


@login_required
@require_GET
def archived(request: SignedInRequest) -> HttpResponse:
    rows = sidebars.listed(request.user, is_archived=True)
    return _shelf(request, rows, title=_("Archive"), context={"is_archive": True})


@login_required
@require_GET
def tag(request: SignedInRequest, tag_id: int) -> HttpResponse:
    found = get_object_or_404(Tag, pk=tag_id, user=request.user)
    return _shelf(request, sidebars.listed(request.user).filter(tags=found), title=found.name, context={})


@login_required
@require_http_methods(["GET", "POST"])
def folder(request: SignedInRequest, folder_id: int) -> HttpResponse:
    """The chats of a folder, and its name to be changed."""
    found = _folder(request, folder_id)
    title = found.name
    form = FolderForm(request.POST or None, instance=found)
    if request.method == "POST" and form.is_valid():
        organising.rename_folder(found, name=form.cleaned_data["name"])
        return redirect("folder", found.pk)
    rows = sidebars.listed(request.user).filter(folder_id=folder_id)
    return _shelf(request, rows, title=title, context={"folder": found, "form": form})


@login_required
@require_POST
def delete_folder(request: SignedInRequest, folder_id: int) -> HttpResponse:
    organising.delete_folder(_folder(request, folder_id))
    return redirect("chat")


def _shelf(
    request: SignedInRequest, rows: "QuerySet[Conversation]", *, title: str, context: dict[str, Any]
) -> HttpResponse:
    page = Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))
    is_wrong = "form" in context and bool(context["form"].errors)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if is_wrong else HTTPStatus.OK
    return render(request, "chat/shelf.html", {"rows": page, "title": title, **context}, status=status)


def _changed(request: SignedInRequest, conversation: Conversation) -> HttpResponse:
    """The sidebar reads itself again; so does a page that lists chats."""
    if not request.htmx:
        return redirect("conversation", conversation.pk)
    path = request.htmx.current_url_abs_path or ""
    if path.startswith(("/archive/", "/folders/", "/tags/")):
        return HttpResponseClientRefresh()
    is_shown = path.startswith(f"/c/{conversation.pk}/")
    context = {"conversation": conversation if is_shown else None}
    return trigger_client_event(render(request, "chat/_organised.html", context), *CHANGED)


def _conversation(request: SignedInRequest, conversation_id: UUID) -> Conversation:
    return get_object_or_404(Conversation.objects.for_user(request.user).kept(), pk=conversation_id)


def _folder(request: SignedInRequest, folder_id: int) -> Folder:
    return get_object_or_404(Folder, pk=folder_id, user=request.user)
