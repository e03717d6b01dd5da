"""Agents that live in this process only: for a turn that need not outlive it, and for tests."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from agents.happenings import AgentFinished, AgentStarted
from agents.steps.reply import Listener
from agents.teams import evidence
from agents.teams.crew import AgentId, AgentState, AgentTask, TooManyAgents, cost_text
from inference.schema import FinishReason

Run = Callable[[AgentId, AgentTask], Awaitable[AgentState]]


class MemoryCrew:
    """A `Crew` whose agents are asyncio tasks. `run` does an agent's work and returns its end."""

    def __init__(self, run: Run, *, max_agents: int = 32) -> None:
        self._run = run
        self._max_agents = max_agents
        self._keys: dict[str, list[AgentId]] = {}
        self._states: dict[AgentId, AgentState] = {}
        self._work: dict[AgentId, asyncio.Task[None]] = {}
        self._heard: dict[AgentId, int] = {}
        self._news = asyncio.Event()
        self.adopted: list[tuple[str, str]] = []  # sources and texts, in the order of their numbers

    async def spawn(self, tasks: Sequence[AgentTask], *, key: str) -> list[AgentId]:
        if key not in self._keys:
            if len(self._states) + len(tasks) > self._max_agents:
                raise TooManyAgents(f"A turn may have {self._max_agents} agents in all.")
            self._keys[key] = [self._start(f"{key}.{index}", task) for index, task in enumerate(tasks)]
        return list(self._keys[key])

    async def states(self) -> list[AgentState]:
        return list(self._states.values())

    async def adopt(self, agents: Sequence[AgentId]) -> dict[AgentId, dict[int, int]]:
        """Numbers from 1 on: nothing else of the turn has any here."""
        found = [self._states[agent] for agent in agents]
        for passage in evidence.gathered(found)[0]:
            if (passage.source, passage.text) not in self.adopted:
                self.adopted.append((passage.source, passage.text))
        return {
            state.id: {
                passage.number: self.adopted.index((passage.source, passage.text)) + 1
                for passage in evidence.cited(state)
            }
            for state in found
        }

    async def stop(self, agents: Sequence[AgentId]) -> None:
        for agent in agents:
            self._work[agent].cancel()

    async def tell(self, listener: Listener, *, step: int) -> None:
        for state in self._states.values():
            if self._heard[state.id] == 0:
                started = AgentStarted(step=step, agent=state.id, role=state.role, task=state.task)
                await listener.happened(started)
                self._heard[state.id] = 1
            if self._heard[state.id] == 1 and state.finish_reason is not None:
                await listener.happened(
                    AgentFinished(
                        step=step,
                        agent=state.id,
                        finish_reason=state.finish_reason,
                        answer=state.answer,
                        cost=cost_text(state.cost_nano),
                    )
                )
                self._heard[state.id] = 2

    async def wait_for_news(self) -> None:
        """Until an agent has finished since this was last asked: what waking is for durable turns."""
        await self._news.wait()
        self._news.clear()

    def _start(self, agent: AgentId, task: AgentTask) -> AgentId:
        self._states[agent] = AgentState(id=agent, role=task.role, task=task.task)
        self._heard[agent] = 0
        self._work[agent] = asyncio.create_task(self._finish(agent, task))
        return agent

    async def _finish(self, agent: AgentId, task: AgentTask) -> None:
        state = self._states[agent]
        try:
            ended = await self._run(agent, task)
            self._states[agent] = replace(ended, id=agent, role=task.role, task=task.task)
        except asyncio.CancelledError:
            self._states[agent] = replace(state, finish_reason=FinishReason.CANCELLED)
        self._news.set()
