"""The part of a branch that a page is given at once: its end, and earlier turns as the reader comes near."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Sum
from django.db.models.functions import Length

from chat import branches, history
from chat.history import TurnView
from chat.models import Conversation, Part, Turn

Family = Mapping[UUID, UUID | None]

MOST_TURNS = 15
FEWEST_TURNS = 3
MOST_CHARS = 60_000  # of questions and answers together


@dataclass(frozen=True, kw_only=True)
class Window:
    """Turns that follow each other; `earlier` is the one before them, None at the beginning."""

    turns: list[TurnView]
    earlier: UUID | None

    @property
    def first(self) -> UUID:
        return self.turns[0].turn.id


def latest(conversation: Conversation, *, since: UUID | None = None, is_whole: bool = False) -> Window:
    """The end of the branch on show; from the turn `since` on, where that is more; all of it when asked."""
    family = branches.family(conversation)
    path = branches.path(family, conversation.current_turn_id)
    return _window(path, family, since=since, is_whole=is_whole)


def before(turn: Turn, *, since: UUID | None = None, is_whole: bool = False) -> Window:
    """What comes before this turn, likewise."""
    family = branches.family(turn.conversation)
    return _window(branches.path(family, turn.parent_id), family, since=since, is_whole=is_whole)


def _window(path: list[UUID], family: Family, *, since: UUID | None, is_whole: bool) -> Window:
    num_turns = len(path) if is_whole else _fitting(path[-MOST_TURNS:])
    if since in path:
        num_turns = max(num_turns, len(path) - path.index(since))
    cut = len(path) - num_turns
    turns = history.stretch(path[cut:], family=family, is_outlined=True)
    return Window(turns=turns, earlier=path[cut - 1] if cut else None)


def _fitting(path: Sequence[UUID]) -> int:
    """How many turns of its end are no more than a page should hold."""
    if len(path) <= FEWEST_TURNS:
        return len(path)
    said = Part.objects.filter(message__turn__in=path, kind=Part.Kind.TEXT).order_by()
    sizes = dict(said.values_list("message__turn").annotate(size=Sum(Length("text"))))
    num_turns = num_chars = 0
    for turn_id in reversed(path):
        num_chars += sizes.get(turn_id, 0)
        if num_turns >= FEWEST_TURNS and num_chars > MOST_CHARS:
            break
        num_turns += 1
    return num_turns
