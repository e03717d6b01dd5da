"""How far a turn of many steps is: its strip, a mark for each step across all that it may take, and what it
has used of its limits. Read from a few columns, for a page asks again and again while the turn works."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from chat.models import Part, PlanItem, ToolRun, Turn
from webapp.billing import pricing

WIDTH = 720  # of the strip
HEIGHTS = {"error": 17, "python": 17, "search": 13, "tool": 13, "browse": 9, "think": 6}
GAP = 0.3  # of a step's width

TOOLS = {
    **dict.fromkeys(("run_python", "shell", "python", "run_tests", "calculate"), "python"),
    **dict.fromkeys(("web_search", "search", "search_documents", "facts_query"), "search"),
    **dict.fromkeys(("open_page", "find_in_page", "browse", "fetch_file", "read_document"), "browse"),
}
LOUDEST = ("error", "python", "search", "browse", "tool", "think")
FEWEST_DONE = 2  # lines of a plan, before the time for the others is guessed


def kind_of(tool: str) -> str:
    return TOOLS.get(tool, "tool")


@dataclass(frozen=True, kw_only=True)
class Mark:
    step: int
    kind: str
    x: float
    y: int
    width: float
    height: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """`elapsed_ms` is without the time that it waited. `phase` counts from 1; 0 where there is no plan.
    `left_ms` is guessed from how long the lines of the plan have taken that are done."""

    turn: Turn
    marks: list[Mark]
    counts: dict[str, int]
    num_steps: int
    elapsed_ms: int
    cost: Decimal
    max_cost: Decimal | None
    phase: int
    num_phases: int
    phase_name: str
    left_ms: int | None

    @property
    def has_hit_a_limit(self) -> bool:
        return bool(self.turn.limit) and not self.is_live

    @property
    def is_live(self) -> bool:
        return self.turn.status != Turn.Status.FINISHED

    @property
    def is_waiting(self) -> bool:
        return self.turn.status == Turn.Status.WAITING

    @property
    def rest_x(self) -> float:
        return min(WIDTH, self.num_steps * WIDTH / self.turn.max_steps)

    @property
    def steps_percent(self) -> int:
        return min(100, round(100 * self.num_steps / self.turn.max_steps))

    @property
    def time_percent(self) -> int:
        return min(100, round(self.elapsed_ms / 10 / self.turn.max_seconds))

    @property
    def cost_percent(self) -> int:
        return min(100, round(100 * self.cost / self.max_cost)) if self.max_cost else 0


def of(turn: Turn, *, now: datetime) -> Run:
    found = kinds(turn)
    num_steps = min(turn.max_steps, max(turn.next_step - (turn.status == Turn.Status.FINISHED), *found, 1))
    width = WIDTH / turn.max_steps
    marks = [
        Mark(
            step=step,
            kind=(kind := found.get(step, "think")),
            x=round((step - 1) * width, 1),
            y=20 - HEIGHTS[kind],
            width=round(width * (1 - GAP), 1),
            height=HEIGHTS[kind],
        )
        for step in range(1, num_steps + 1)
    ]
    counts: defaultdict[str, int] = defaultdict(int)
    for mark in marks:
        counts[mark.kind] += 1
    items = list(PlanItem.objects.filter(turn=turn).values_list("phase", "status"))
    phase, num_phases, name = _phase(items)
    elapsed_ms = _elapsed_ms(turn, now)
    return Run(
        turn=turn,
        marks=marks,
        counts=dict(counts),
        num_steps=num_steps,
        elapsed_ms=elapsed_ms,
        cost=pricing.to_decimal(turn.budget_spent_nano),
        max_cost=pricing.to_decimal(turn.max_cost_nano) if turn.max_cost_nano else None,
        phase=phase,
        num_phases=num_phases,
        phase_name=name,
        left_ms=_left_ms([status for _, status in items], elapsed_ms),
    )


def kinds(turn: Turn) -> dict[int, str]:
    """What each step that called a tool was about: the loudest of its calls."""
    found: dict[int, str] = {}
    for step, tool in ToolRun.objects.filter(turn=turn).values_list("step", "tool"):
        kind = kind_of(tool)
        found[step] = min(found.get(step, "think"), kind, key=LOUDEST.index)
    failed = Part.objects.filter(message__turn=turn, kind=Part.Kind.TOOL_RESULT, is_error=True)
    return found | dict.fromkeys(failed.values_list("message__step", flat=True), "error")


def _phase(items: list[tuple[str, str]]) -> tuple[int, int, str]:
    """The phase of the plan that is under way, or the first with something left to do."""
    names = list(dict.fromkeys(phase for phase, _ in items))
    doing = [phase for phase, status in items if status == "doing"]
    left = doing or [phase for phase, status in items if status == "todo"]
    name = left[0] if left else (names[-1] if names else "")
    return (names.index(name) + 1 if names else 0), len(names), name


def _left_ms(statuses: list[str], elapsed_ms: int) -> int | None:
    num_done = statuses.count("done")
    num_left = statuses.count("doing") + statuses.count("todo")
    return elapsed_ms * num_left // num_done if num_done >= FEWEST_DONE and num_left else None


def _elapsed_ms(turn: Turn, now: datetime) -> int:
    if turn.started_at is None:
        return 0
    end = turn.finished_at or turn.parked_at or now
    return max(0, int((end - turn.started_at).total_seconds() * 1000) - turn.waited_ms)
