"""Agents in memory that answer by rote, and a turn that is led by them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agents.steps.progress import Outcome, Parked
from agents.teams.crew import AgentState, AgentTask, Evidence
from agents.teams.memory_crew import MemoryCrew
from inference.schema import FinishReason, Usage
from tests.agents.stage import Stage

Answer = Callable[[AgentTask], str | Awaitable[str]]
COST_NANO = 1_000_000


def state(answer: str, **fields: Any) -> AgentState:
    """An agent that has answered."""
    plain: dict[str, Any] = {
        "id": answer or "nobody",
        "role": "",
        "task": "",
        "finish_reason": FinishReason.STOP,
        "answer": answer,
        "usage": Usage(output_tokens=10),
        "num_steps": 2,
        "cost_nano": COST_NANO,
    }
    return AgentState(**(plain | fields))


def crew_of(answer: Answer, *, evidence: tuple[Evidence, ...] = ()) -> MemoryCrew:
    """Agents that answer what `answer` says to their task; "" is a failure."""

    async def run(agent: str, task: AgentTask) -> AgentState:
        said = answer(task)
        text = said if isinstance(said, str) else await said
        if not text:
            return state("", finish_reason=FinishReason.ERROR, error="The model was away.")
        return state(text, evidence=evidence)

    return MemoryCrew(run)


async def never() -> str:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def drive(stage: Stage, crew: MemoryCrew) -> Outcome:
    """To its end, through all waiting; each wake finds a worker that knows nothing but what is kept."""
    for _ in range(100):
        end = await stage.drive()
        if isinstance(end, Outcome):
            return end
        if isinstance(end, Parked):
            await asyncio.wait_for(crew.wait_for_news(), timeout=5)
        stage.take_over()
    raise AssertionError("the turn comes to no end")
