"""What makes a turn one worker's own: its fence and its lease. Every write of a worker repeats the fence."""

from uuid import UUID

from django.conf import settings

from chat import guarded, rows
from chat.models import Turn
from webapp.database_clock import FromNow


class TurnLost(Exception):
    """Another worker holds the turn, or it has ended: nothing was changed, and nothing more may be
    written."""


def write(turn_id: UUID, fence: int, *writes: rows.Write, **changes: object) -> None:
    """Change the turn's row and, with it, these; as the worker that holds it. Raises TurnLost."""
    held = {"id": turn_id, "fence": fence, "status": Turn.Status.RUNNING}
    is_held = (
        guarded.write_if(rows.Update(Turn, held, changes), *writes)
        if writes
        else rows.update(Turn, held, changes)
    )
    if not is_held:
        raise TurnLost(f"turn {turn_id} is no more at fence {fence}")


def keep(turn_id: UUID, fence: int, *writes: rows.Write, **changes: object) -> None:
    """As `write`, for another lease's time. Raises TurnLost."""
    write(turn_id, fence, *writes, lease_until=lease(), **changes)


def lease() -> FromNow:
    """Until when whoever takes or keeps a turn now holds it."""
    return FromNow(settings.TURN_LEASE_S)
