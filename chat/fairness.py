"""Which turn a worker drives next. A ring is leave to drive one turn for a segment; whose turn that is, is
decided here, so that a user with forty turns and their agents does not keep another's two waiting."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Case, F, Value, When
from django.utils import timezone

from chat.models import Turn


@dataclass(frozen=True, kw_only=True)
class Open:
    """A turn that wants a worker or, where it `is_driven`, has one."""

    turn_id: UUID
    user_id: int
    is_driven: bool


def choose(rung: UUID) -> UUID:
    """The turn to be driven by whoever was rung for `rung`: that one, unless a user of whose turns fewer are
    driven has one waiting for a worker, or it needs no worker any more."""
    return fairest(_open_turns(), rung)


def is_wanted(*, but: UUID) -> bool:
    """Whether another turn waits for a worker."""
    return any(not turn.is_driven and turn.turn_id != but for turn in _open_turns())


def fairest(open_turns: Sequence[Open], rung: UUID) -> UUID:
    """`open_turns` in the order they have been waiting."""
    waiting = [turn for turn in open_turns if not turn.is_driven]
    if not waiting:
        return rung
    driven = Counter(turn.user_id for turn in open_turns if turn.is_driven)
    fewest = min(driven[turn.user_id] for turn in waiting)
    deserving = [turn.turn_id for turn in waiting if driven[turn.user_id] == fewest]
    return rung if rung in deserving else deserving[0]


def _open_turns() -> list[Open]:
    has_worker = Case(When(lease_until__gt=timezone.now(), then=Value(True)), default=Value(False))
    rows = (
        Turn.objects.filter(status__in=(Turn.Status.QUEUED, Turn.Status.RUNNING))
        .order_by(F("wake_at").asc(nulls_first=True), "created_at")
        .values_list("id", "conversation__user_id", has_worker)
    )
    return [
        Open(turn_id=turn_id, user_id=user_id, is_driven=is_driven) for turn_id, user_id, is_driven in rows
    ]
