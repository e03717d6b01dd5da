"""What is told of a conversation as a whole: its map, and how full its model's context is."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from chat import meters, tree
from chat.models import Conversation, Turn
from webapp.accounts.models import User


class SignedInRequest(HttpRequest):
    user: User


@login_required
@require_GET
def conversation_map(request: SignedInRequest, conversation_id: UUID) -> HttpResponse:
    return render(request, "chat/_map.html", {"places": tree.of(_conversation(request, conversation_id))})


@login_required
@require_GET
def context(request: SignedInRequest, conversation_id: UUID) -> HttpResponse:
    """The ring beside the composer."""
    found = _conversation(request, conversation_id)
    turns = Turn.objects.select_related("model").prefetch_related("messages")
    last = turns.filter(id__in=[found.current_turn_id]).first()
    told = {"conversation": found, "fill": meters.context_of(last) if last else None}
    return render(request, "chat/_context.html", told)


def _conversation(request: SignedInRequest, conversation_id: UUID) -> Conversation:
    return get_object_or_404(Conversation.objects.for_user(request.user), pk=conversation_id)
