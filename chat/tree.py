"""All the turns of a conversation as a map: a branch follows its line, and steps aside where it forks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chat import branches
from chat.models import Conversation, Message, Part, Turn

MOST_WORDS = 120
DEEPEST = 8  # drawn; further forks stand below each other


@dataclass(frozen=True, kw_only=True)
class Place:
    """A turn on the map. `depth` counts the forks above it, as far as they are drawn; `version` of how many
    `versions` it is, where its question was asked or answered more than once."""

    turn_id: UUID
    question: str
    model: str
    at: datetime
    status: str
    depth: int
    version: int
    versions: int
    is_shown: bool


def of(conversation: Conversation) -> list[Place]:
    """Each turn but those of agents, a line of descent together, oldest branch first."""
    family = branches.family(conversation)
    children: dict[UUID | None, list[UUID]] = {}
    for turn_id, parent_id in family.items():
        children.setdefault(parent_id, []).append(turn_id)
    turns = Turn.objects.select_related("model").only("model__label", "created_at", "status").in_bulk(family)
    shown = set(branches.path(family, conversation.current_turn_id))
    questions = _questions(conversation)
    return [
        Place(
            turn_id=turn_id,
            question=questions.get(turn_id, ""),
            model=turns[turn_id].model.label,
            at=turns[turn_id].created_at,
            status=turns[turn_id].status,
            depth=min(depth, DEEPEST),
            version=version,
            versions=versions,
            is_shown=turn_id in shown,
        )
        for turn_id, depth, version, versions in _walk(children)
        if turn_id in turns
    ]


def _walk(children: dict[UUID | None, list[UUID]]) -> Iterator[tuple[UUID, int, int, int]]:
    """Each turn before its descendants, without recursion: a chat may be thousands of turns long."""
    stack: list[tuple[UUID | None, int, int, int]] = [(None, 0, 1, 1)]
    while stack:
        turn_id, depth, version, versions = stack.pop()
        if turn_id is not None:
            yield turn_id, depth, version, versions
        below = children.get(turn_id, [])
        step = 1 if len(below) > 1 else 0
        for place, child in reversed(list(enumerate(below, start=1))):
            stack.append((child, depth + step, place, len(below)))


def _questions(conversation: Conversation) -> dict[UUID, str]:
    rows = Part.objects.filter(
        message__turn__conversation=conversation, message__role=Message.Role.USER, position=0
    ).values_list("message__turn", "text")
    return {turn_id: " ".join(text.split())[:MOST_WORDS] for turn_id, text in rows}
