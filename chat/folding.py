"""How a long turn is laid out on a page: what stands open, what folds into one line, what was taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from math import ceil

from chat.step_views import StepView

MOST_OPEN = 24  # steps of a turn that are drawn without a fold
LAST_OPEN = 4  # of a longer turn
MOST_FOLDS = 12


class Kind(StrEnum):
    OPEN = "open"
    FOLDED = "folded"
    DRAFT = "draft"  # answers that were sent back
    UNDONE = "undone"  # the model went back to before them


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Steps one after another that are shown in one way."""

    kind: Kind
    steps: tuple[StepView, ...]

    @property
    def first(self) -> int:
        return self.steps[0].number

    @property
    def last(self) -> int:
        return self.steps[-1].number

    @property
    def tally(self) -> list[tuple[str, int]]:
        """Its tools, the most used first, with how often each was called."""
        return Counter(call.name for step in self.steps for call in step.tool_calls).most_common(4)

    @property
    def has_error(self) -> bool:
        return any(call.is_error for step in self.steps for call in step.tool_calls)

    @property
    def duration_ms(self) -> int:
        return sum(
            step.duration_ms + max((call.duration_ms for call in step.tool_calls), default=0)
            for step in self.steps
        )


def stretches(steps: Sequence[StepView]) -> list[Stretch]:
    """All of the steps, in order."""
    is_long = len(steps) > MOST_OPEN
    size = max(10, ceil(len(steps) / MOST_FOLDS))
    open_from = len(steps) - LAST_OPEN if is_long else 0
    laid_out = []
    for kind, members in groupby(
        enumerate(steps), key=lambda place: _kind(place[1], is_open=place[0] >= open_from)
    ):
        run = [step for _, step in members]
        width = size if kind is Kind.FOLDED else len(run)
        laid_out += [
            Stretch(kind=kind, steps=tuple(run[start : start + width])) for start in range(0, len(run), width)
        ]
    return laid_out


def _kind(step: StepView, *, is_open: bool) -> Kind:
    if step.is_undone:
        return Kind.UNDONE
    if step.is_draft:
        return Kind.DRAFT
    return Kind.OPEN if is_open else Kind.FOLDED
