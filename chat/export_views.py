"""A conversation as a file."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from chat import exports, snapshots
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
    mine = Conversation.objects.filter(user=request.user)
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
