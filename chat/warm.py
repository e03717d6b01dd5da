"""What a Celery worker still knows of the turns that it has just given back: it goes on with them without
reading all of them again.

Kept only of turns given back cleanly, and used only by whoever claims the very next fence: then nobody has
driven the turn in between, and its steps are as they were left.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from agents.steps.progress import Progress

MOST_TURNS = 64
MOST_TOKENS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A turn as it was given back at `fence`."""

    fence: int
    progress: Progress
    known_notes: set[UUID]

    @property
    def num_tokens(self) -> int:
        steps = self.progress.transcript.steps
        return sum(step.num_tokens + sum(call.num_tokens for call in step.calls) for step in steps)


class Shelf:
    """The turns of one process; its threads share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, tuple[Kept, int]] = OrderedDict()
        self._num_tokens = 0
        self._lock = threading.Lock()

    def put(self, turn_id: UUID, kept: Kept) -> None:
        """Those that were put here longest ago make room."""
        num_tokens = kept.num_tokens
        with self._lock:
            self._drop(turn_id)
            self._kept[turn_id] = kept, num_tokens
            self._num_tokens += num_tokens
            while len(self._kept) > MOST_TURNS or self._num_tokens > MOST_TOKENS:
                self._drop(next(iter(self._kept)))

    def take(self, turn_id: UUID, *, fence: int) -> Kept | None:
        """What was put here at the fence before this one. It is here no longer."""
        with self._lock:
            kept = self._drop(turn_id)
        return kept if kept is not None and kept.fence == fence - 1 else None

    def _drop(self, turn_id: UUID) -> Kept | None:
        kept, num_tokens = self._kept.pop(turn_id, (None, 0))
        self._num_tokens -= num_tokens
        return kept


shelf = Shelf()
