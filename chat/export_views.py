"""A conversation as a file, and files as conversations."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from chat import adoption, exports, imports, snapshots
from chat.models import Conversation
from webapp.accounts.models import User

FORMS = {
    "md": (exports.as_markdown, "text/markdown; charset=utf-8"),
    "json": (exports.as_json, "application/json"),
}


class PageRequest(HttpRequest):
    """A request of a signed-in person."""

    user: User


@login_required
@require_GET
def export(request: PageRequest, conversation_id: UUID, ending: str) -> HttpResponse:
    """The branch on show, reasoning and cited web pages included."""
    if ending not in FORMS:
        raise Http404
    mine = Conversation.objects.for_user(request.user).kept()
    conversation = get_object_or_404(mine, pk=conversation_id)
    try:
        snapshot = snapshots.of_branch(conversation, with_reasoning=True)
    except snapshots.NothingFinished:
        raise Http404(_("There is no finished answer yet.")) from None
    write, media_type = FORMS[ending]
    response = HttpResponse(write(snapshot), content_type=media_type)
    name = exports.file_name(snapshot, ending)
    response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response


@login_required
@require_http_methods(["GET", "POST"])
def import_chats(request: PageRequest) -> HttpResponse:
    """Each conversation of the file comes in whole or not at all; what did not is said with its reason."""
    context: dict[str, object] = {"section": "import", "max_mb": imports.MAX_BYTES // 2**20}
    status = HTTPStatus.OK
    if request.method == "POST":
        try:
            context |= _take_in(request)
        except imports.NotAnExport:
            context["fault"] = _("This is no export of chats. Choose the JSON file of one.")
            status = HTTPStatus.UNPROCESSABLE_ENTITY
        except adoption.NoModel:
            context["fault"] = _("No model is offered yet. An administrator can switch one on.")
            status = HTTPStatus.UNPROCESSABLE_ENTITY
    return render(request, "chat/import.html", context, status=status)


def _take_in(request: PageRequest) -> dict[str, object]:
    file = request.FILES.get("file")
    if file is None or not file.size or file.size > imports.MAX_BYTES:
        raise imports.NotAnExport
    told: dict[str, Any] = {"made": [], "failed": [], "num_here": 0, "num_left": 0, "is_broken_off": False}
    try:
        for found in imports.read(file):
            _adopt(request.user, found, told)
    except imports.BrokenOff:
        told["is_broken_off"] = True
    return told


def _adopt(user: User, found: imports.Found, told: dict[str, Any]) -> None:
    """Make it a conversation, and note what came of it."""
    if found.snapshot is None:
        told["failed"].append(found)
    elif len(told["made"]) >= imports.MAX_CONVERSATIONS:
        told["num_left"] += 1
    else:
        try:
            told["made"].append(adoption.adopt(user, found.snapshot, origin=found.origin))
        except adoption.AlreadyHere:
            told["num_here"] += 1
