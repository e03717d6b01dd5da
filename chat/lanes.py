"""Agents that worked on one question apart, side by side under the answers that they gave."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat import runs
from chat.activity import AgentView
from chat.history import TurnView
from chat.models import ToolRun, Turn

HEIGHT, THICKEST = 168, 4  # of a lane's trace, of a step in it
WIDTHS = {"python": 70, "search": 50, "tool": 44, "browse": 36, "think": 20}
ANSWER_CHARS = 24  # a longer answer is no headline


@dataclass(frozen=True, kw_only=True)
class Bar:
    kind: str
    y: float
    width: int
    height: float


@dataclass(frozen=True, kw_only=True)
class Lane:
    agent: AgentView
    bars: list[Bar]
    elapsed_ms: int


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """Lanes with one answer; `wins` is the answer that was taken."""

    key: str
    headline: str
    said: str
    wins: bool
    lanes: list[Lane]


@dataclass(frozen=True, kw_only=True)
class Lanes:
    ballots: list[Ballot]
    num_steps: int
    elapsed_ms: int
    cost: Decimal | None


def of(view: TurnView) -> Lanes:
    kinds = _kinds(view.turn)
    times = _times(view.turn)
    lanes = [_lane(agent, kinds.get(agent.id, {}), times.get(agent.id, 0)) for agent in view.agents]
    costs = [agent.cost for agent in view.agents if agent.cost]
    return Lanes(
        ballots=_ballots(lanes),
        num_steps=sum(agent.num_steps for agent in view.agents),
        elapsed_ms=max(times.values(), default=0),
        cost=sum(costs, Decimal(0)) if costs else None,
    )


def _ballots(lanes: list[Lane]) -> list[Ballot]:
    """Those with the most votes first, then who has none, then who is still at work."""
    groups: dict[tuple[int, str], list[Lane]] = defaultdict(list)
    for lane in lanes:
        agent = lane.agent
        answer = agent.answer if agent.votes else ("" if agent.is_finished else "…")
        groups[(-agent.votes, answer)].append(lane)
    order = sorted(groups, key=lambda group: (not groups[group][0].agent.wins, group[0], group[1] == "…"))
    return [_ballot(answer, groups[(votes, answer)], len(lanes)) for votes, answer in order]


def _ballot(answer: str, lanes: list[Lane], num_lanes: int) -> Ballot:
    agent = lanes[0].agent
    if agent.votes:
        is_short = len(answer) <= ANSWER_CHARS
        headline = answer if is_short else _("Path %(number)d") % {"number": agent.number}
        said = _("%(votes)d of %(all)d agree") if agent.wins else _("%(votes)d of %(all)d")
        said %= {"votes": agent.votes, "all": num_lanes}
    elif agent.is_finished:
        headline, said = _("None"), _("not counted")
    else:
        headline = _("At work")
        said = ngettext("%(paths)d path", "%(paths)d paths", len(lanes)) % {"paths": len(lanes)}
    return Ballot(key=f"votes-{answer[:40]}", headline=headline, said=said, wins=agent.wins, lanes=lanes)


def _lane(agent: AgentView, kinds: dict[int, str], elapsed_ms: int) -> Lane:
    num_steps = max(agent.num_steps, 1)
    height = min(THICKEST, HEIGHT / num_steps)
    bars = [
        Bar(
            kind=(kind := kinds.get(step, "think")),
            y=round((step - 1) * height, 2),
            width=WIDTHS[kind],
            height=round(height * 0.72, 2),
        )
        for step in range(1, num_steps + 1)
    ]
    if agent.is_finished and agent.answer:
        last = bars.pop()
        bars.append(Bar(kind="answer", y=last.y, width=100, height=last.height))
    return Lane(agent=agent, bars=bars, elapsed_ms=elapsed_ms)


def _kinds(turn: Turn) -> dict[UUID, dict[int, str]]:
    """What each step of each agent was about."""
    found: dict[UUID, dict[int, str]] = defaultdict(dict)
    calls = ToolRun.objects.filter(turn__spawned_by=turn).values_list("turn_id", "step", "tool")
    for agent, step, tool in calls.order_by("step", "index"):
        found[agent].setdefault(step, runs.kind_of(tool))
    return found


def _times(turn: Turn) -> dict[UUID, int]:
    now = timezone.now()
    rows = Turn.objects.filter(spawned_by=turn, started_at__isnull=False)
    times = rows.values_list("id", "started_at", "finished_at", "parked_at", "waited_ms")
    return {
        agent: max(0, int(((ended or parked or now) - started).total_seconds() * 1000) - waited)
        for agent, started, ended, parked, waited in times
        if started
    }
