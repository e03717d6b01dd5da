"""Giving parts of the work to agents, several at once, and reading only what they bring back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agents import budget
from agents.limits import Limits
from agents.steps.reply import Listener
from agents.teams import evidence, merge
from agents.teams.crew import (
    AgentState,
    AgentTask,
    Crew,
    TooManyAgents,
    are_finished,
    cost_text,
    states_of,
)
from agents.teams.roles import Role
from agents.tool import (
    Effect,
    Fault,
    NewPassage,
    ToolContext,
    ToolResult,
    Traits,
    Trust,
    Waiting,
    WaitingFor,
    least_trusted,
)
from inference.schema import ToolSpec

MOST_AT_ONCE = 6
MOST_IN_ALL = 16
FEWEST_SHARES = 4  # that a budget is cut into: who spawns two agents may want to spawn two more
MAX_STEPS = 100
LOOK_AGAIN_S = 30.0
CHARS_EACH = 5_000  # of an answer

DESCRIPTION = """\
Give up to {most} tasks to agents that work at the same time, and read their answers. Use it when a question
falls into parts that do not depend on one another, or when one part would fill your view with text you do not
need. An agent sees nothing but its task: put every name, figure, link and condition it needs into the text,
and say what its answer is to hold. It has a copy of your files; what it makes comes to agents/1, agents/2 and
so on. Agents cost as much as you do: never use one for what a single call of a tool can do, and never for
your whole question."""


class Spawn:
    """Runs again under the same key until all its agents have finished: they are the same ones each time."""

    traits = Traits(effect=Effect.LOCAL, is_idempotent=True, trust=Trust.AGENT)

    def __init__(
        self, crew: Crew, *, listener: Listener, limits: Limits, roles: Mapping[str, Role] | None = None
    ) -> None:
        """The limits are the turn's; agents get a share of them. Without roles agents have none."""
        self._crew = crew
        self._listener = listener
        self._limits = limits
        self._roles = roles or {}

    @property
    def spec(self) -> ToolSpec:
        task: dict[str, Any] = {
            "task": {"type": "string", "minLength": 1, "maxLength": 20_000, "description": "The whole task."}
        }
        if self._roles:
            task["role"] = {"type": "string", "enum": sorted(self._roles), "description": "Who does it."}
        items = {"type": "object", "properties": task, "required": ["task"], "additionalProperties": False}
        tasks = {"type": "array", "items": items, "minItems": 1, "maxItems": MOST_AT_ONCE}
        return ToolSpec(
            name="spawn",
            description=" ".join(DESCRIPTION.format(most=MOST_AT_ONCE).split()),
            parameters={
                "type": "object",
                "properties": {"tasks": tasks},
                "required": ["tasks"],
                "additionalProperties": False,
            },
        )

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | Waiting:
        tasks = [self._task(item, num_tasks=len(arguments["tasks"])) for item in arguments["tasks"]]
        try:
            ids = await self._crew.spawn(tasks, key=context.key)
        except TooManyAgents as fault:
            text = f"{fault} No agent was started: do the rest yourself."
            return ToolResult(for_model=text, is_error=True, fault=Fault.REFUSED)
        agents = await states_of(self._crew, ids)
        await self._crew.tell(self._listener, step=context.step)
        if not are_finished(agents):
            return Waiting(waiting_for=WaitingFor.AGENTS, wake_in_s=LOOK_AGAIN_S)
        return result_of(agents)

    def _task(self, item: Mapping[str, str], *, num_tasks: int) -> AgentTask:
        role = self._roles.get(item.get("role", ""))
        max_steps = role.max_steps if role is not None else MAX_STEPS
        part = budget.share(self._limits, num_agents=max(num_tasks, FEWEST_SHARES), max_steps=max_steps)
        return AgentTask(
            task=item["task"],
            role=item.get("role", "") if role is not None else "",
            instructions=role.instructions.strip() if role is not None else "",
            limits=part,
        )


def result_of(agents: list[AgentState]) -> ToolResult:
    """What the agents answered, and what it cost; what they cite comes with it as passages. An error only
    when none of them has answered."""
    found, places = evidence.gathered(agents)
    said = []
    for number, agent in enumerate(agents, 1):
        text = evidence.rewritten(agent, places.get(agent.id, {}), mark="⟦{}⟧".format)
        cost = f" It cost {cost_text(agent.cost_nano)}." if agent.cost_nano else ""
        shown = merge.shown(agent, number=number, most_chars=CHARS_EACH, text=text)
        said.append(f"{shown}\n({agent.num_steps} steps.{cost})")
    has_answer = any(agent.has_answered for agent in agents)
    return replace(
        ToolResult(for_model="\n\n".join(said)),
        is_error=not has_answer,
        fault=None if has_answer else Fault.FAILED,
        passages=tuple(
            NewPassage(source=one.source, title=one.title, text=one.text, fetched_at=one.fetched_at)
            for one in found
        ),
        trust=least_trusted(Trust.AGENT, *(one.trust for one in found)),
    )
