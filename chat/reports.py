"""Turns and messages of a user as other programs hear of them: plain values, no pages."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from chat import history
from chat.history import TurnView
from chat.models import Message, Part, ToolRun, Turn
from webapp.accounts.models import User

EXCERPT_CHARS = 300
MAX_WORDS = 10


@dataclass(frozen=True, kw_only=True)
class WaitingRun:
    """A call that waits for a person, other agents or the clock."""

    tool: str
    waiting_for: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """How far a turn is. `waiting` are its calls and those of its agents. `answer` is what it has said so
    far, the whole answer once it is finished; `cost` is empty until then, and plainly written."""

    turn: str
    conversation: str
    status: str
    model: str
    num_steps: int
    answer: str
    finish_reason: str
    error: str
    cost: str
    currency: str
    waiting: tuple[WaitingRun, ...]


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A message that a search found; `excerpt` is its text around the words."""

    conversation: str
    title: str
    turn: str
    role: str
    at: str
    excerpt: str


def report(user: User, turn_id: UUID) -> Report:
    """Raises Turn.DoesNotExist for nobody's or another's turn."""
    turn = Turn.objects.for_user(user).select_related("model", "conversation").get(id=turn_id)
    view = history.turn_view(turn)
    return Report(
        turn=str(turn.id),
        conversation=str(turn.conversation_id),
        status=view.status,
        model=turn.model.name,
        num_steps=len(view.steps),
        answer=view.answer,
        finish_reason=view.finish_reason,
        error=view.error,
        cost=_cost(view),
        currency=view.currency,
        waiting=tuple(
            WaitingRun(tool=run.tool, waiting_for=run.waiting_for, prompt=run.prompt)
            for run in ToolRun.objects.filter(
                Q(turn=turn) | Q(turn__spawned_by=turn), state=ToolRun.State.WAITING
            )
        ),
    )


def is_at_rest(user: User, turn_id: UUID) -> bool:
    """True when it has finished or waits. Raises Turn.DoesNotExist."""
    turn = Turn.objects.for_user(user).only("status").get(id=turn_id)
    return turn.status in (Turn.Status.FINISHED, Turn.Status.WAITING)


def search(user: User, words: str, *, most: int) -> list[Hit]:
    """The user's messages and answers that hold every one of the words, newest first."""
    wanted = words.replace("\x00", "").split()[:MAX_WORDS]
    if not wanted:
        return []
    holds_all = Q()
    for word in wanted:
        holds_all &= Q(text__icontains=word)
    parts = (
        Part.objects.filter(holds_all, kind=Part.Kind.TEXT)
        .filter(message__turn__conversation__user=user, message__turn__spawned_by=None)
        .filter(message__role__in=(Message.Role.USER, Message.Role.ASSISTANT))
        .select_related("message__turn__conversation")
        .order_by("-message__created_at")
    )
    return [_hit(part, wanted[0]) for part in parts[:most]]


def _hit(part: Part, word: str) -> Hit:
    turn = part.message.turn
    return Hit(
        conversation=str(turn.conversation_id),
        title=turn.conversation.title,
        turn=str(turn.id),
        role=part.message.role,
        at=part.message.created_at.isoformat(),
        excerpt=_excerpt(part.text, word),
    )


def _excerpt(text: str, word: str) -> str:
    at = max(0, text.lower().find(word.lower()) - EXCERPT_CHARS // 3)
    piece = text[at : at + EXCERPT_CHARS]
    return f"{'…' if at else ''}{piece}{'…' if at + EXCERPT_CHARS < len(text) else ''}"


def _cost(view: TurnView) -> str:
    return "" if view.cost is None else format(view.cost.normalize(), "f")
