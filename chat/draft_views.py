"""Drafts, as pages keep them: read once more, written while somebody types."""

from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat import drafts
from chat.models import Conversation, Draft
from webapp.accounts.models import User

MAX_BYTES = 4_000_000


class SignedInRequest(HttpRequest):
    user: User


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text and files of a draft, made from version `base`; `conversation` empty is that of a new chat."""

    text: str
    base: int
    conversation: str = ""
    files: list[UUID] = []


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def draft(request: SignedInRequest) -> HttpResponse:
    """The draft as it stands, after it was written if it is; on GET with `was_sent`, whether the message with
    the id `sent` has come in."""
    if request.method == "GET":
        found = drafts.read(request.user, _conversation(request, request.GET.get("conversation", "")))
        sent = _uuid(request.GET.get("sent", ""))
        return JsonResponse(_told(found) | {"was_sent": bool(sent and drafts.was_sent(request.user, sent))})
    try:
        written = msgspec.json.decode(request.body, type=Written)
    except msgspec.MsgspecError:
        return HttpResponseBadRequest("This is no draft.")
    if len(written.text) > settings.MAX_MESSAGE_CHARS * 2:
        return HttpResponse(status=413)  # the device keeps it
    conversation = _conversation(request, written.conversation)
    files = [str(one) for one in written.files]
    text = written.text.replace("\0", "")
    return JsonResponse(
        _told(drafts.write(request.user, conversation, text=text, files=files, base=written.base))
    )


def _told(draft: Draft) -> dict[str, Any]:
    return {"text": draft.text, "files": draft.files, "version": draft.version}


def _conversation(request: SignedInRequest, key: str) -> Conversation | None:
    """One's own, and none that is temporary: of such a chat nothing is kept."""
    if not key:
        return None
    found = Conversation.objects.for_user(request.user).kept().filter(pk__in=[_uuid(key)]).first()
    if found is None:
        raise Http404
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
