"""How a long turn is laid out on a page: phases that fold into one line, what stands open, what was taken
back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby

from chat import call_lines
from chat.runs import kind_of
from chat.step_views import StepView, ToolCallView

MOST_OPEN = 12  # steps of a turn that are drawn without a fold
LAST_OPEN_LIVE = 6  # of a longer turn that is under way; of one that is over its answer
MOST_FOLDS = 12
FEWEST_IN_A_FOLD = 10
TITLE_CHARS = 120


class Kind(StrEnum):
    OPEN = "open"
    FOLDED = "folded"
    DRAFT = "draft"  # answers that were sent back
    UNDONE = "undone"  # the model went back to before them


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Steps that are seen as one piece of work."""

    title: str
    steps: tuple[StepView, ...]

    @property
    def calls(self) -> list[ToolCallView]:
        return [call for step in self.steps for call in step.tool_calls]

    @property
    def tally(self) -> list[tuple[str, int]]:
        """The kinds of its calls (chat.runs.TOOLS), the most frequent first; only thoughts where there are
        none."""
        counts = Counter(kind_of(call.name) for call in self.calls)
        return counts.most_common() or [("think", len(self.steps))]

    @property
    def fault(self) -> str:
        """Why the last of its calls that failed did."""
        failed = [call for call in self.calls if call.is_error]
        return call_lines.gist(failed[-1].result) or call_lines.NO_RESULT if failed else ""

    @property
    def duration_ms(self) -> int:
        return sum(
            step.duration_ms + max((call.duration_ms for call in step.tool_calls), default=0)
            for step in self.steps
        )


@dataclass(frozen=True, kw_only=True)
class Stretch(Phase):
    """Steps one after another that are shown in one way. `title` is what the plan says of them, where it
    does. `leads` is the phase under way, whose line stands above this stretch; of its steps those that fold
    are `is_earlier`."""

    kind: Kind
    leads: Phase | None = None
    is_earlier: bool = False

    @property
    def first(self) -> int:
        return self.steps[0].number

    @property
    def last(self) -> int:
        return self.steps[-1].number


def stretches(steps: Sequence[StepView], *, is_live: bool) -> list[Stretch]:
    """All of the steps, in order."""
    is_long = len(steps) > MOST_OPEN
    num_open = LAST_OPEN_LIVE if is_live else bool(steps and steps[-1].content)
    open_from = len(steps) - num_open if is_long else 0
    named = titles(steps)
    laid_out: list[Stretch] = []
    for (kind, title), members in groupby(
        enumerate(steps), key=lambda place: _kind(place[1], named, is_open=place[0] >= open_from)
    ):
        run = [step for _, step in members]
        size = _size(len(steps)) if kind is Kind.FOLDED and not title else len(run)
        laid_out += [
            Stretch(kind=kind, steps=tuple(run[start : start + size]), title=title)
            for start in range(0, len(run), size)
        ]
    return _led(laid_out, named) if is_long and is_live else laid_out


def num_folding(num_steps: int, *, is_live: bool) -> int:
    """How many of a turn's first steps fold whatever they say, unless they were taken back."""
    num_open = LAST_OPEN_LIVE if is_live else 1
    return num_steps - num_open if num_steps > MOST_OPEN else 0


def _led(laid_out: list[Stretch], titles: dict[int, str]) -> list[Stretch]:
    """With the line of the phase under way above its first steps."""
    *before, last = laid_out
    title = titles.get(last.first, "") if last.kind is Kind.OPEN else ""
    if not title:
        return laid_out
    earlier = before[-1:] if before and (before[-1].kind, before[-1].title) == (Kind.FOLDED, title) else []
    steps = tuple(step for stretch in [*earlier, last] for step in stretch.steps)
    phase = Phase(title=title, steps=steps)
    if not earlier:
        return [*before, replace(last, leads=phase)]
    return [*before[:-1], replace(earlier[0], leads=phase, is_earlier=True), last]


def _kind(step: StepView, titles: dict[int, str], *, is_open: bool) -> tuple[Kind, str]:
    if step.is_undone:
        return Kind.UNDONE, ""
    if step.is_draft:
        return Kind.DRAFT, ""
    return (Kind.OPEN, "") if is_open else (Kind.FOLDED, titles.get(step.number, ""))


def _size(num_steps: int) -> int:
    """Of a phase that no plan names. It doubles, so that a fold of a growing turn stays where it is or
    becomes a half of another."""
    size = FEWEST_IN_A_FOLD
    while size * MOST_FOLDS < num_steps:
        size *= 2
    return size


def titles(steps: Sequence[StepView]) -> dict[int, str]:
    """What the plan says of each step: its line under way, or its phase where so many lines would be too
    many. Empty where the plan says nothing, or too much."""
    lines, phases = {}, {}
    line = phase = ""
    for step in steps:
        lines[step.number], phases[step.number] = line, phase
        for call in step.tool_calls:
            if call.name == "plan" and call.result is not None and not call.is_error:
                line, phase = _under_way(call.arguments)
    for named in (lines, phases):
        if len(list(groupby(named.values()))) <= MOST_FOLDS:
            return named
    return {}


def _under_way(arguments: str) -> tuple[str, str]:
    try:
        written = json.loads(arguments)["lines"]
        doing = next((line for line in written if line.get("status") == "doing"), None)
        if doing is None:
            return "", ""
        return str(doing["text"])[:TITLE_CHARS], str(doing.get("phase") or doing["text"])[:TITLE_CHARS]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""
