"""The agents of a turn: the port between those who give them tasks and whatever runs them.

An agent is a turn of its own that sees only its task and returns only its answer. It has no agents itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from agents.limits import Limits
from agents.steps.reply import Listener
from agents.tool import Trust
from inference.schema import FinishReason, Usage

AgentId = str


class TooManyAgents(Exception):
    """The turn would have more agents than it may; none was started. The text is fit for the model."""


@dataclass(frozen=True, kw_only=True)
class AgentTask:
    """What an agent is told (`task`), who it is (`role`; `instructions` go with its system prompt), and how
    far it may go. A `seed` makes trajectories differ."""

    task: str
    role: str = ""
    instructions: str = ""
    seed: int | None = None
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A passage that an agent found; its answer cites it as [number]."""

    number: int
    source: str
    title: str
    text: str
    fetched_at: datetime
    trust: Trust = Trust.AGENT


@dataclass(frozen=True, kw_only=True)
class AgentState:
    """How far an agent is. `answer`, the text of its last reply, and `finish_reason` are there once it has
    finished; `facts` are what it wanted to remember; `num_supported` and `num_unsupported` sentences of the
    answer were found so by a check. Money is whole nano-units."""

    id: AgentId
    role: str
    task: str
    finish_reason: FinishReason | None = None
    error: str = ""
    answer: str = ""
    usage: Usage = Usage()
    num_steps: int = 0
    cost_nano: int = 0
    evidence: tuple[Evidence, ...] = field(default=())
    facts: tuple[str, ...] = ()
    num_supported: int = 0
    num_unsupported: int = 0

    @property
    def is_finished(self) -> bool:
        return self.finish_reason is not None

    @property
    def has_answered(self) -> bool:
        """An answer that a limit forced counts; one that was cut by a stop or a fault does not."""
        ended_itself = self.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
        return ended_itself and bool(self.answer.strip())


class Crew(Protocol):
    """The agents of one turn. Each method commits before it returns."""

    async def spawn(self, tasks: Sequence[AgentTask], *, key: str) -> list[AgentId]:
        """One agent for each task; their ids, in order. Again under the same key: the same agents, and
        nothing is started. Raises TooManyAgents."""
        ...

    async def states(self) -> list[AgentState]:
        """All agents of the turn, in the order they were spawned."""
        ...

    async def adopt(self, agents: Sequence[AgentId]) -> Mapping[AgentId, Mapping[int, int]]:
        """Make what these agents' answers cite passages of the turn itself: for each agent, its numbers and
        the turn's. Again: the same numbers."""
        ...

    async def stop(self, agents: Sequence[AgentId]) -> None:
        """Ask these to end; those that have ended are left as they are."""
        ...

    async def tell(self, listener: Listener, *, step: int) -> None:
        """Emit what the turn's readers have not heard of its agents: who started, who finished. After a crash
        they may hear some of it twice."""
        ...


async def states_of(crew: Crew, agents: Sequence[AgentId]) -> list[AgentState]:
    """The states of these agents, in this order."""
    states = {state.id: state for state in await crew.states()}
    return [states[agent] for agent in agents]


def are_finished(states: Sequence[AgentState]) -> bool:
    return all(state.is_finished for state in states)


def cost_text(nano: int) -> str:
    """An amount, plainly written in units of the currency: what a note says; empty for nothing."""
    return f"{nano / 10**9:.6f}".rstrip("0").rstrip(".") if nano else ""
