"""The tree of a conversation's turns: who hangs on whom, and the way from the root to a leaf.

Agents are on no branch.
"""

from collections.abc import Mapping
from uuid import UUID

from chat.models import Conversation, Turn


def family(conversation: Conversation) -> dict[UUID, UUID | None]:
    """Each turn of the conversation with its parent."""
    return dict(conversation.turns.filter(spawned_by=None).values_list("id", "parent_id"))


def path(parents: Mapping[UUID, UUID | None], end: UUID | None) -> list[UUID]:
    """From the root to `end`."""
    way = []
    while end is not None:
        way.append(end)
        end = parents[end]
    return way[::-1]


def leaf(conversation: Conversation, turn: Turn) -> Turn:
    """The turn at the end of the newest branch through `turn`."""
    children: dict[UUID, Turn] = {}
    for candidate in conversation.turns.filter(spawned_by=None).order_by("created_at").exclude(parent=None):
        if candidate.parent_id:
            children[candidate.parent_id] = candidate
    while turn.id in children:
        turn = children[turn.id]
    return turn
