"""What a turn has going on besides its text, read for the page: calls that wait, its plan, its agents, what
the cache spared. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery

from agents.happenings import (
    AgentFinished,
    AgentStarted,
    Happening,
    PlanChanged,
    PlanLine,
    TurnWaiting,
    WaitingCall,
)
from agents.tool import WaitingFor
from agents.transcript import Note, NoteKind
from chat.models import Artifact, Message, Part, PlanItem, ToolRun, Turn
from webapp.billing import pricing

OF_A_PERSON = (WaitingFor.APPROVAL, WaitingFor.ANSWER, WaitingFor.OUTCOME)
TASK_CHARS = 400
_RARE_OF_RUNS = ("arguments", "arguments_sha256", "key", "effect", "answer", "trust", "created_at")


@dataclass(frozen=True, kw_only=True)
class WaitView:
    """A call that a person is to decide on, of the turn or of one of its agents. `choices` are the answers
    that its question offers."""

    turn_id: UUID
    role: str
    call_id: str
    tool: str
    arguments: str
    waiting_for: str
    prompt: str
    expires_at: datetime | None
    choices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PhaseView:
    """Lines of the plan that stand one after another under one name."""

    name: str
    items: list[PlanItem]


@dataclass(frozen=True, kw_only=True)
class AgentView:
    """`votes` is how many agents gave this answer, where they were counted; `cost` None for a free model."""

    id: UUID
    role: str
    task: str
    number: int
    status: str
    waiting_for: str
    finish_reason: str
    num_steps: int
    answer: str
    cost: Decimal | None
    currency: str
    votes: int
    wins: bool

    @property
    def is_finished(self) -> bool:
        return self.status == Turn.Status.FINISHED


@dataclass(frozen=True, kw_only=True)
class Vote:
    """The short form of an agent's answer, and how many gave it."""

    answer: str = ""
    num_votes: int = 0
    wins: bool = False


@dataclass(frozen=True, kw_only=True)
class Savings:
    """What the turn's tool calls did not cost because their results were at hand."""

    num_calls: int
    num_cached: int
    saved: Decimal

    @property
    def percent(self) -> int:
        return round(100 * self.num_cached / self.num_calls) if self.num_calls else 0


def prefetches() -> list[str | Prefetch[Any]]:
    """What the views of a turn read, in as many queries whatever the number of turns and steps."""
    return ["messages__parts", *besides_texts()]


def besides_texts() -> list[str | Prefetch[Any]]:
    """The same without its messages (chat.outlines)."""
    return [
        Prefetch("tool_runs", queryset=ToolRun.objects.defer(*_RARE_OF_RUNS)),
        "plan_items",
        Prefetch("artifacts", queryset=Artifact.objects.defer("text")),
        Prefetch("agents", queryset=_agents()),
    ]


def waits(turn: Turn) -> list[WaitView]:
    """The calls that wait for a person's word: the turn's own, and those of its agents."""
    runs = [("", run) for run in undecided(turn)]
    if turn.status != Turn.Status.FINISHED:
        runs += [(agent.role, run) for agent in _started(turn) for run in _undecided(agent)]
    return [
        WaitView(
            turn_id=run.turn_id,
            role=role,
            call_id=run.call_id,
            tool=run.tool,
            arguments=run.arguments,
            waiting_for=run.waiting_for,
            prompt=run.prompt,
            expires_at=run.expires_at,
            choices=_choices(run),
        )
        for role, run in runs
        if run.waiting_for in OF_A_PERSON
    ]


def undecided(turn: Turn) -> list[ToolRun]:
    if turn.status == Turn.Status.FINISHED:
        return []
    return [run for run in turn.tool_runs.all() if run.state == ToolRun.State.WAITING and not run.decision]


def phases(turn: Turn) -> list[PhaseView]:
    return [
        PhaseView(name=name, items=list(items))
        for name, items in groupby(turn.plan_items.all(), key=lambda item: item.phase)
    ]


def agents(turn: Turn, *, currency: str, votes: Mapping[str, Vote]) -> list[AgentView]:
    """In the order they were started."""
    return [
        _agent(agent, number=number, currency=currency, vote=votes.get(str(agent.id), Vote()))
        for number, agent in enumerate(_started(turn), start=1)
    ]


def _agent(agent: Turn, *, number: int, currency: str, vote: Vote) -> AgentView:
    return AgentView(
        id=agent.id,
        role=agent.role,
        task=_task(agent),
        number=number,
        status=agent.status,
        waiting_for=agent.waiting_for,
        finish_reason=agent.finish_reason,
        num_steps=agent.next_step - 1,
        answer=vote.answer or _answer(agent),
        cost=pricing.to_decimal(agent.budget_spent_nano) if agent.budget_spent_nano else None,
        currency=currency,
        votes=vote.num_votes,
        wins=vote.wins,
    )


def votes(notes: list[Note]) -> dict[str, Vote]:
    """The vote of each agent that was counted. The first ballot with an answer is the winner."""
    found = (note for note in reversed(notes) if note.kind is NoteKind.TEAM and "votes" in note.data)
    note = next(found, None)
    return {
        agent: Vote(
            answer=ballot["answer"], num_votes=ballot["votes"], wins=place == 0 and bool(ballot["answer"])
        )
        for place, ballot in enumerate(note.data["votes"] if note else ())
        for agent in ballot["agents"]
    }


def savings(turn: Turn) -> Savings:
    runs = [run for run in turn.tool_runs.all() if run.state == ToolRun.State.DONE]
    return Savings(
        num_calls=len(runs),
        num_cached=sum(run.is_cached for run in runs),
        saved=pricing.to_decimal(sum(run.saved_nano for run in runs)),
    )


def events(turn: Turn) -> Iterator[Happening]:
    """What shows the plan and the agents as they stand, as the turn's own: of no step."""
    if plan := list(turn.plan_items.all()):
        yield PlanChanged(step=0, items=[_line(item) for item in plan])
    for agent in _started(turn):
        yield AgentStarted(step=0, agent=str(agent.id), role=agent.role, task=_task(agent))
        if agent.status == Turn.Status.FINISHED:
            yield AgentFinished(
                step=0,
                agent=str(agent.id),
                finish_reason=agent.finish_reason,
                answer=_answer(agent),
                cost=f"{pricing.to_decimal(agent.budget_spent_nano):f}" if agent.budget_spent_nano else "",
            )


def waiting_event(turn: Turn) -> TurnWaiting | None:
    """What shows that the turn waits, and for what; None for one that does not."""
    if turn.status != Turn.Status.WAITING:
        return None
    calls = [
        WaitingCall(
            call_id=run.call_id,
            tool=run.tool,
            arguments=run.arguments,
            waiting_for=run.waiting_for,
            prompt=run.prompt,
            expires_at_ms=int(run.expires_at.timestamp() * 1000) if run.expires_at else None,
        )
        for run in undecided(turn)
    ]
    return TurnWaiting(step=turn.next_step - 1, waiting_for=turn.waiting_for, calls=calls)


def _line(item: PlanItem) -> PlanLine:
    return PlanLine(text=item.text, phase=item.phase, status=item.status, evidence=list(item.evidence))


def _choices(run: ToolRun) -> tuple[str, ...]:
    try:
        return tuple(msgspec.json.decode(run.arguments, type=_Question).choices)
    except msgspec.MsgspecError:
        return ()


class _Question(msgspec.Struct):
    choices: list[str] = []


# ---- agents, each with the two texts that are shown of it


def _agents() -> QuerySet[Turn]:
    """Not their messages: eight agents of a hundred steps are not read to show eight lines."""
    texts = Part.objects.filter(message__turn=OuterRef("pk"), kind=Part.Kind.TEXT)
    task = texts.filter(message__role=Message.Role.USER).order_by("position").values("text")[:1]
    said = texts.filter(message__role=Message.Role.ASSISTANT).order_by("-message__step").values("text")[:1]
    runs = ToolRun.objects.filter(state=ToolRun.State.WAITING, decision="")
    waiting = Prefetch("tool_runs", queryset=runs, to_attr="runs_waiting")
    annotated = Turn.objects.annotate(asked=Subquery(task), said=Subquery(said))
    return annotated.prefetch_related(waiting).order_by("created_at", "id")


def _undecided(agent: Turn) -> list[ToolRun]:
    runs: list[ToolRun] = getattr(agent, "runs_waiting", [])
    return [] if agent.status == Turn.Status.FINISHED else runs


def _started(turn: Turn) -> list[Turn]:
    rows = list(turn.agents.all())
    return rows if all(hasattr(row, "said") for row in rows) else list(_agents().filter(spawned_by=turn))


def _task(agent: Turn) -> str:
    return (getattr(agent, "asked", "") or "")[:TASK_CHARS]


def _answer(agent: Turn) -> str:
    return (getattr(agent, "said", "") or "") if agent.status == Turn.Status.FINISHED else ""
