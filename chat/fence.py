"""What makes a turn one worker's own: its fence and its lease. Every write of a worker repeats the fence."""

from uuid import UUID

from django.conf import settings

from chat import rows
from chat.clock import FromNow
from chat.models import Turn


class TurnLost(Exception):
    """Another worker holds the turn, or it has ended: nothing was changed, and nothing more may be
    written."""


def write(turn_id: UUID, fence: int, **changes: object) -> None:
    """Change the turn's row, as the worker that holds it. Raises TurnLost."""
    held = {"id": turn_id, "fence": fence, "status": Turn.Status.RUNNING}
    if rows.update(Turn, held, changes) == 0:
        raise TurnLost(f"turn {turn_id} is no more at fence {fence}")


def keep(turn_id: UUID, fence: int, **changes: object) -> None:
    """As `write`, for another lease's time. Raises TurnLost."""
    write(turn_id, fence, lease_until=lease(), **changes)


def lease() -> FromNow:
    """Until when whoever takes or keeps a turn now holds it."""
    return FromNow(settings.TURN_LEASE_S)
