"""The queue above the message box: what waits to be said, and what a person does with it."""

from http import HTTPStatus
from urllib.parse import quote
from uuid import UUID

import msgspec
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.middleware import HtmxDetails

from chat import frames, queue_rows, queueing
from chat.models import Conversation, QueuedMessage
from chat.refusals import Refusal
from webapp.accounts.models import User


class PageRequest(HttpRequest):
    """A request of a signed-in person, past htmx's middleware."""

    user: User
    htmx: HtmxDetails


@login_required
@require_http_methods(["GET", "POST"])
def queue(request: PageRequest, conversation_id: UUID) -> HttpResponse:
    """What waits. A POST with a chat.frames.TurnSend adds to it; with ?steers it is said to the turn under
    way."""
    mine = Conversation.objects.filter(user=request.user).select_related("current_turn")
    conversation = get_object_or_404(mine, pk=conversation_id)
    fault = _added(request, conversation) if request.method == "POST" else ""
    return _queue(request, conversation, fault=fault)


@login_required
@require_POST
def queued(request: PageRequest, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """Change a message that waits, remove it, say it at once, or send it though the queue is held."""
    mine = Conversation.objects.filter(user=request.user).select_related("current_turn")
    conversation = get_object_or_404(mine, pk=conversation_id)
    row = QueuedMessage.objects.filter(conversation=conversation, pk=message_id).first()
    fault = _done(request, row) if row is not None else ""
    if not request.htmx:
        return HttpResponseRedirect(reverse("conversation", args=[conversation.pk]))
    return _queue(request, conversation, fault=fault)


def _added(request: PageRequest, conversation: Conversation) -> str:
    try:
        command = msgspec.json.decode(request.body, type=frames.TurnSend)
        command = msgspec.structs.replace(command, conversation=str(conversation.pk))
        queueing.add(request.user, command, steers="steers" in request.GET)
    except (msgspec.MsgspecError, RecursionError):
        return _("The message could not be read. Reload the page and send it again.")
    except Refusal as refusal:
        return refusal.message
    return ""


def _done(request: PageRequest, row: QueuedMessage) -> str:
    try:
        match request.POST.get("action"):
            case "edit":
                queueing.edit(row, request.POST.get("text", ""))
            case "remove":
                queueing.remove(row)
            case "steer":
                queueing.steer(row)
            case "send":
                queueing.send(row)
    except Refusal as refusal:
        return refusal.message
    return ""


def _queue(request: PageRequest, conversation: Conversation, *, fault: str) -> HttpResponse:
    context = queue_rows.shown(conversation) | {"fault": fault}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK
    response = render(request, "chat/_queue.html", context, status=status)
    if fault:
        response["X-Fault"] = quote(fault)  # for the message box
    return response
