"""The queue above the message box, drawn with its page."""

from typing import Any

from django import template

from chat import queue_rows
from chat.models import Conversation

register = template.Library()


@register.inclusion_tag("chat/_queue.html", takes_context=True)
def queue_of(context: dict[str, Any], conversation: Conversation | None) -> dict[str, Any]:
    token = context.get("csrf_token")
    return {"csrf_token": token, **(queue_rows.shown(conversation) if conversation else {})}
