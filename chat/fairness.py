"""Which turn a worker drives next. A ring is leave to drive one turn for a segment; whose turn that is, is
decided here, so that a user with forty turns and their agents does not keep another's two waiting. Of a
user's agents only so many are driven at once: the others wait, as all do, for a worker."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db.models import Case, F, Value, When

from chat.models import Turn
from webapp.accounts.models import User
from webapp.database_clock import FromNow


@dataclass(frozen=True, kw_only=True)
class Open:
    """A turn that wants a worker or, where it `is_driven`, has one."""

    turn_id: UUID
    user_id: int
    is_driven: bool
    is_agent: bool = False


def choose(rung: UUID) -> UUID | None:
    """The turn to be driven by whoever was rung for `rung`: that one, unless a user of whose turns fewer are
    driven has one waiting for a worker, or it needs no worker any more. None: it is an agent too many, and
    nobody else waits; it is rung for again."""
    return fairest(_open_turns(), rung, most_agents=settings.CONCURRENT_AGENTS)


def held_back() -> UUID | None:
    """An agent that waits for a worker and may have one, now that another agent has given up its own."""
    may_have_one = _waiting(_open_turns(), most_agents=settings.CONCURRENT_AGENTS)
    return next((turn.turn_id for turn in may_have_one if turn.is_agent), None)


def has_room(user_id: int) -> bool:
    """Whether one more of the user's agents may be driven. Call it in the transaction that takes one: until
    it ends, nobody else takes the place."""
    User.objects.select_for_update(no_key=True).get(id=user_id)
    driven = Turn.objects.filter(
        status=Turn.Status.RUNNING,
        lease_until__gt=FromNow(),
        conversation__user=user_id,
        spawned_by__isnull=False,
    )
    return driven.count() < settings.CONCURRENT_AGENTS


def is_wanted(*, but: UUID) -> bool:
    """Whether another turn waits for a worker."""
    waiting = _waiting(_open_turns(), most_agents=settings.CONCURRENT_AGENTS)
    return any(turn.turn_id != but for turn in waiting)


def fairest(open_turns: Sequence[Open], rung: UUID, *, most_agents: int) -> UUID | None:
    """`open_turns` in the order they have been waiting."""
    waiting = _waiting(open_turns, most_agents=most_agents)
    if not waiting:
        is_too_many = any(turn.turn_id == rung and not turn.is_driven for turn in open_turns)
        return None if is_too_many else rung
    driven = Counter(turn.user_id for turn in open_turns if turn.is_driven)
    fewest = min(driven[turn.user_id] for turn in waiting)
    deserving = [turn.turn_id for turn in waiting if driven[turn.user_id] == fewest]
    return rung if rung in deserving else deserving[0]


def _waiting(open_turns: Sequence[Open], *, most_agents: int) -> list[Open]:
    """Those that wait for a worker and may have one."""
    agents = Counter(turn.user_id for turn in open_turns if turn.is_driven and turn.is_agent)
    return [
        turn
        for turn in open_turns
        if not turn.is_driven and not (turn.is_agent and agents[turn.user_id] >= most_agents)
    ]


def _open_turns() -> list[Open]:
    has_worker = Case(When(lease_until__gt=FromNow(), then=Value(True)), default=Value(False))
    rows = (
        Turn.objects.filter(status__in=(Turn.Status.QUEUED, Turn.Status.RUNNING))
        .order_by(F("wake_at").asc(nulls_first=True), "created_at")
        .values_list("id", "conversation__user_id", has_worker, "spawned_by_id")
    )
    return [
        Open(turn_id=turn_id, user_id=user_id, is_driven=is_driven, is_agent=spawned_by is not None)
        for turn_id, user_id, is_driven, spawned_by in rows
    ]
