"""What happens in a turn besides text and tool calls, as its readers hear of it. Wire types: the event log
stores and sends them as they are."""

from typing import Any

import msgspec


class PlanLine(msgspec.Struct, frozen=True, kw_only=True):
    """`status`: todo, doing, done or dropped."""

    text: str
    phase: str = ""
    status: str = "todo"
    evidence: list[str] = []


class NoteAdded(msgspec.Struct, frozen=True, tag_field="type", tag="note.added"):
    """The platform said something to the model, or checked its answer: agents.transcript.NoteKind tells what
    `data` holds."""

    step: int
    kind: str
    text: str
    data: dict[str, Any]


class PlanChanged(msgspec.Struct, frozen=True, tag_field="type", tag="plan.changed"):
    """The whole plan as it stands now."""

    step: int
    items: list[PlanLine]


class WaitingCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that waits. A person decides where `waiting_for` is approval, answer or outcome."""

    call_id: str
    tool: str
    arguments: str
    waiting_for: str
    prompt: str
    expires_at_ms: int | None = None


class TurnWaiting(msgspec.Struct, frozen=True, tag_field="type", tag="turn.waiting"):
    """The turn has left its worker; it goes on when the calls are decided, or by itself."""

    step: int
    waiting_for: str
    calls: list[WaitingCall]


class TurnResumed(msgspec.Struct, frozen=True, tag_field="type", tag="turn.resumed"):
    step: int


class AgentStarted(msgspec.Struct, frozen=True, tag_field="type", tag="agent.started"):
    """An agent of this turn works on a task, as the turn `agent` of its own that can be attached to."""

    step: int
    agent: str
    role: str
    task: str


class AgentFinished(msgspec.Struct, frozen=True, tag_field="type", tag="agent.finished"):
    """`cost` in the account's currency, plainly written; empty for a free model."""

    step: int
    agent: str
    finish_reason: str
    answer: str
    cost: str


class ModelAwaited(msgspec.Struct, frozen=True, tag_field="type", tag="model.awaited"):
    """The model could not be had just now: its call is made again as soon as it can, for so many seconds at
    most. Any later event says that it answers, or that it was given up."""

    step: int
    seconds: int


Happening = NoteAdded | PlanChanged | TurnWaiting | TurnResumed | AgentStarted | AgentFinished | ModelAwaited
