"""The model gives tasks to agents and reads only what they bring back."""

from datetime import UTC, datetime
from typing import Any

from agents.steps.loop import Parked
from agents.teams import roles
from agents.teams.crew import AgentTask, Evidence
from agents.teams.memory_crew import MemoryCrew
from agents.tool import Fault, Trust, WaitingFor
from agents.tools.spawn import Spawn
from inference.backends.scripted import Reply as Line
from inference.schema import FinishReason
from tests.agents.crews import crew_of, drive
from tests.agents.stage import WIDE, Heard, Stage

FOUND = Evidence(
    number=7,
    source="https://peaks.example/",
    title="Peaks",
    text="8,849 m",
    fetched_at=datetime(2026, 11, 23, tzinfo=UTC),
    trust=Trust.WEB,
)
TWO = '{"tasks": [{"task": "one", "role": "researcher"}, {"task": "two"}]}'


def stage_of(crew: MemoryCrew, *lines: Line) -> Stage:
    spawn = Spawn(crew, listener=Heard(), limits=WIDE, roles=roles.load().roles)
    return Stage(*lines, tools=[spawn])


def calling(arguments: str = TWO) -> tuple[Line, Line]:
    return Line(step=1, lines=(f"call: spawn {arguments}",)), Line(lines=("text: All done.",))


async def test_agents_work_while_the_turn_waits_and_only_their_answers_come_back() -> None:
    crew = crew_of(lambda task: f"The answer to {task.task} [7].", evidence=(FOUND,))
    stage = stage_of(crew, *calling())
    first = await stage.drive()
    assert isinstance(first, Parked)
    assert first.waiting_for is WaitingFor.AGENTS
    assert (await drive(stage, crew)).finish_reason is FinishReason.STOP
    [result] = stage.results(1)
    assert "The answer to one [1]." in result.for_model
    assert "The answer to two [1]." in result.for_model
    assert "It cost 0.001." in result.for_model
    assert [one.source for one in result.passages] == [FOUND.source]
    assert result.trust is Trust.WEB
    assert [agent.role for agent in await crew.states()] == ["researcher", ""]


async def test_an_agent_gets_a_share_of_the_turns_limits_and_its_role() -> None:
    seen: list[AgentTask] = []
    crew = crew_of(lambda task: seen.append(task) or "x")  # type: ignore[func-returns-value]
    await drive(stage_of(crew, *calling()), crew)
    assert {task.limits.max_output_tokens for task in seen} == {20_000}
    assert ["researcher" in task.instructions for task in seen] == [True, False]


async def test_an_agent_that_fails_is_a_result_and_the_others_count() -> None:
    crew = crew_of(lambda task: "" if task.task == "one" else "fine")
    stage = stage_of(crew, *calling())
    await drive(stage, crew)
    [result] = stage.results(1)
    assert not result.is_error
    assert "brought no answer (The model was away.)" in result.for_model

    crew = crew_of(lambda task: "")
    stage = stage_of(crew, *calling())
    assert (await drive(stage, crew)).finish_reason is FinishReason.STOP
    assert stage.results(1)[0].fault is Fault.FAILED


async def test_more_agents_than_a_turn_may_have_are_refused_and_the_turn_goes_on() -> None:
    crew = MemoryCrew(crew_of(lambda task: "x")._run, max_agents=1)
    stage = stage_of(crew, *calling())
    assert (await drive(stage, crew)).finish_reason is FinishReason.STOP
    [result] = stage.results(1)
    assert (result.is_error, result.fault) == (True, Fault.REFUSED)
    assert await crew.states() == []


async def test_a_role_that_does_not_exist_never_starts_an_agent() -> None:
    crew = crew_of(lambda task: "x")
    stage = stage_of(crew, *calling('{"tasks": [{"task": "one", "role": "pilot"}]}'))
    await drive(stage, crew)
    assert stage.results(1)[0].fault is Fault.BAD_ARGUMENTS
    assert await crew.states() == []


def test_what_the_model_is_told_of_spawn_names_its_roles() -> None:
    spec: Any = Spawn(crew_of(lambda task: ""), listener=Heard(), limits=WIDE, roles=roles.load().roles).spec
    item = spec.parameters["properties"]["tasks"]["items"]["properties"]
    assert item["role"]["enum"] == ["coder", "critic", "planner", "researcher"]
    bare: Any = Spawn(crew_of(lambda task: ""), listener=Heard(), limits=WIDE).spec
    assert "role" not in bare.parameters["properties"]["tasks"]["items"]["properties"]
