"""What waits above the message box of a conversation, as it stands. Changes nothing."""

from typing import Any
from uuid import UUID

from chat.models import Conversation, QueuedMessage, Turn


def shown(conversation: Conversation) -> dict[str, Any]:
    """What a page shows: what waits, in its order, with what was said to the turn under way and is not read
    yet; the turn under way; whether the queue waits for the person, the last turn having not come to its end
    by itself."""
    queue = list(QueuedMessage.objects.filter(conversation=conversation))
    running = under_way(conversation) if queue else None
    last = conversation.current_turn
    is_held = running is None and last is not None and last.finish_reason != "stop"
    return {"conversation": conversation, "queue": queue, "running": running, "is_held": is_held}


def under_way(conversation: Conversation) -> UUID | None:
    turns = conversation.turns.filter(spawned_by=None).exclude(status=Turn.Status.FINISHED)
    return turns.values_list("id", flat=True).first()
