"""A conversation's files, looked at: in the panel beside it, on a page of their own, and, for a frame without
an origin, as they are."""

import csv
from http import HTTPStatus
from itertools import islice
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_GET, require_safe

from chat import markdown, previews, workspaces
from chat.models import Conversation
from webapp.accounts.models import User

MOST_SOURCE = 400_000  # bytes of a text that are drawn
MOST_ROWS = 500
MOST_COLUMNS = 50


class PageRequest(HttpRequest):
    """A request of a signed-in person."""

    user: User


@login_required
@require_GET
def panel(request: PageRequest, conversation_id: UUID, path: str) -> HttpResponse:
    """The file as it is shown in the panel; `as=source` shows its text instead."""
    conversation = _conversation(request, conversation_id)
    return render(request, "chat/_preview.html", _shown(request, conversation, path))


@login_required
@require_GET
def alone(request: PageRequest, conversation_id: UUID, path: str) -> HttpResponse:
    """A page of the work folder with the whole window to itself, in the same frame as in the panel: without
    it the page could go anywhere and take what it knows along."""
    conversation = _conversation(request, conversation_id)
    return render(request, "chat/preview.html", _shown(request, conversation, path))


def _token(request: HttpRequest, conversation: Conversation) -> str:
    return previews.token(conversation, session_key=request.session.session_key)


@require_safe
@xframe_options_exempt
def framed(request: HttpRequest, token: str, path: str) -> HttpResponse:
    """The file for a frame, as it is. Whoever has the token may read; no cookie is looked at."""
    place, library = _places(request, token)
    try:
        if request.headers.get("Sec-Fetch-Dest") == "document":
            raise previews.Refused(path)
        content = workspaces.read(previews.conversation_of(token), path, max_bytes=previews.MAX_BYTES)
    except previews.Refused:
        text = _("This preview has ended. Open it again from its conversation.")
        response = HttpResponse(text, status=HTTPStatus.FORBIDDEN, content_type="text/plain; charset=utf-8")
    except (workspaces.BadPath, workspaces.NoSuchFile, workspaces.WorkspaceFull):
        text = _("There is no such file that could be shown.")
        response = HttpResponse(text, status=HTTPStatus.NOT_FOUND, content_type="text/plain; charset=utf-8")
    else:
        response = _file(path, content, library=library_url(request))
    for name, value in previews.headers(place=place, library=library).items():
        response[name] = value
    return response


@require_safe
@xframe_options_exempt
def library(request: HttpRequest, name: str) -> HttpResponse:
    """A library that previewed pages import by its name. Everybody's: nothing in it is of a person."""
    try:
        found = previews.library(name)
    except KeyError:
        raise Http404 from None
    response = HttpResponse(found.content, content_type=found.media_type)
    response["Access-Control-Allow-Origin"] = "*"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "public, max-age=3600"
    return response


def library_url(request: HttpRequest) -> str:
    """Where previewed pages find what they may import, with host."""
    return request.build_absolute_uri(reverse("preview_library", args=["x"])).removesuffix("x")


def _file(path: str, content: bytes, *, library: str) -> HttpResponse:
    media_type = previews.media_type_of(path)
    if media_type.startswith("text/html"):
        content = previews.page(content, library=library)
    response = HttpResponse(content, content_type=media_type)
    if media_type == previews.PLAIN:
        response["Content-Disposition"] = "attachment"
    return response


def _places(request: HttpRequest, token: str) -> tuple[str, str]:
    """Where a frame may load from: the token's files, and the libraries. With host, for 'self' is no place to
    an opaque origin, and with path, for the rest of the site is none of its business."""
    files = reverse("preview_file", args=[token, "x"]).removesuffix("x")
    return _place(request, files), library_place(request)


def library_place(request: HttpRequest) -> str:
    return _place(request, reverse("preview_library", args=["x"]).removesuffix("x"))


def _place(request: HttpRequest, path: str) -> str:
    host = request.get_host()
    return "'self'" if host.startswith("[") else host + path  # a policy cannot name an address of IPv6


def _shown(request: PageRequest, conversation: Conversation, path: str) -> dict[str, object]:
    files = {file.path: file for file in workspaces.listing(conversation)}
    if path not in files:
        raise Http404
    kind = previews.kind_of(path)
    is_source = request.GET.get("as") == "source" and kind in {"page", "markdown", "table"}
    context: dict[str, object] = {
        "conversation": conversation,
        "file": files[path],
        "kind": "source" if is_source else kind,
        "has_source": kind in {"page", "markdown", "table"},
        "version": previews.version_of(files.values()),
        "frame_may": previews.FRAME_MAY,
    }
    if context["kind"] in {"page", "picture"}:
        context["address"] = reverse("preview_file", args=[_token(request, conversation), path])
        return context
    text = _text(conversation, path)
    if text is None:
        return context | {"kind": "file"}
    if context["kind"] == "table" and (rows := _rows(text, delimiter="\t" if path.endswith(".tsv") else ",")):
        return context | {"rows": rows[1:], "head": rows[0], "is_cut": len(rows) > MOST_ROWS}
    if context["kind"] == "markdown":
        return context | {"html": markdown.render(text)}
    html = markdown.highlight(text, path.rpartition(".")[2].lower())
    return context | {"kind": "source", "html": mark_safe(html), "is_cut": len(text) >= MOST_SOURCE}


def _text(conversation: Conversation, path: str) -> str | None:
    """The beginning of a text file; None for what is none."""
    try:
        with workspaces.opened(conversation, path) as (file, _about):
            content = file.read(MOST_SOURCE)
    except (workspaces.BadPath, workspaces.NoSuchFile):
        raise Http404 from None
    return None if b"\0" in content else content.decode("utf-8", errors="replace")


def _rows(text: str, *, delimiter: str) -> list[list[str]]:
    """The table's first rows, each as wide as the first; none where it cannot be read as one."""
    try:
        lines = csv.reader(text.splitlines(), delimiter=delimiter)
        found = [row[:MOST_COLUMNS] for row in islice(lines, MOST_ROWS + 1)]
    except csv.Error:
        return []
    width = max((len(row) for row in found), default=0)
    return [row + [""] * (width - len(row)) for row in found]


def _conversation(request: PageRequest, conversation_id: UUID) -> Conversation:
    mine = Conversation.objects.for_user(request.user)
    return get_object_or_404(mine, pk=conversation_id)
