"""Several minds on one question: heavy mode, a discussion, a team with a planner. All they know is kept in
the agents and the turn's notes, so each wake may find another worker."""

import asyncio
from typing import Any

import pytest

from agents.happenings import AgentFinished, AgentStarted
from agents.teams import patterns, roles
from agents.teams.crew import AgentTask
from agents.teams.heavy import HINTS, Heavy
from agents.teams.memory_crew import MemoryCrew
from agents.teams.patterns import PlannerLed, RoundRobin
from agents.transcript import Note, NoteKind
from inference.schema import ChatMessage, FinishReason, Role
from tests.agents.crews import COST_NANO, crew_of, drive, never
from tests.agents.stage import QUESTION, Stage

TEAMS = roles.load()
NAMES = [name for name, _ in HINTS]


def by_hint(**answers: Any) -> Any:
    """What an agent answers by the hint it was given; else `rest`."""

    def answer(task: AgentTask) -> Any:
        return answers.get(task.role.replace(" ", "_"), answers.get("rest", ""))

    return answer


def team_note(stage: Stage) -> Note:
    [note] = [note for note in stage.kept.notes if note.kind is NoteKind.TEAM]
    return note


def heavy(crew: MemoryCrew, **options: Any) -> Stage:
    return Stage("text: It is 42.", conductor=Heavy(crew, **options))


async def test_five_right_of_eight_win_and_every_cost_is_shown() -> None:
    crew = crew_of(by_hint(straight="41", doubt="40", rivals="39", rest="Final answer: 42"))
    stage = heavy(crew, quorum=8)
    outcome = await drive(stage, crew)
    assert outcome.finish_reason is FinishReason.STOP
    data = team_note(stage).data
    assert [(vote["answer"], vote["votes"]) for vote in data["votes"]][0] == ("42", 5)
    assert [agent["cost_nano"] for agent in data["agents"]] == [COST_NANO] * 8
    assert data["cost"] == "0.008"
    assert [agent["role"] for agent in data["agents"]] == NAMES


async def test_the_turn_itself_gives_the_answer_having_read_all_of_them() -> None:
    crew = crew_of(by_hint(straight="41 of them", rest="Final answer: 42"))
    stage = heavy(crew, quorum=8)
    await drive(stage, crew)
    [request] = stage.kept.requests
    assert request.messages[-1].content.startswith("[Platform] ")
    assert "41 of them" in request.messages[-1].content
    assert "- 7 for: 42" in request.messages[-1].content
    assert stage.kept.replies[0].content == "It is 42."


async def test_the_rest_is_stopped_once_five_agree_and_tools_are_of_no_use_then() -> None:
    slow = {"straight", "doubt", "rivals"}
    crew = crew_of(lambda task: never() if task.role in slow else "Final answer: 42")
    stage = heavy(crew)
    await drive(stage, crew)
    agents = team_note(stage).data["agents"]
    assert [agent["role"] for agent in agents if agent["finish_reason"] == "cancelled"] == [
        "straight",
        "doubt",
        "rivals",
    ]
    assert stage.kept.requests[0].tool_choice == "none"


async def test_while_they_differ_the_turn_may_look_things_up() -> None:
    crew = crew_of(lambda task: f"Final answer: {task.role}")
    stage = heavy(crew)
    await drive(stage, crew)
    assert stage.kept.requests[0].tool_choice == "auto"


async def test_failed_trajectories_have_no_vote_and_all_failed_ends_the_turn() -> None:
    crew = crew_of(by_hint(straight="42", rest=""))
    stage = heavy(crew)
    assert (await drive(stage, crew)).finish_reason is FinishReason.STOP
    assert team_note(stage).data["votes"][0]["votes"] == 1

    crew = crew_of(by_hint())
    stage = heavy(crew)
    outcome = await drive(stage, crew)
    assert outcome.finish_reason is FinishReason.ERROR
    assert outcome.detail == "None of 8 agents brought an answer: The model was away. Try again."
    assert stage.kept.requests == []


async def test_trajectories_differ_in_seed_and_way_and_share_what_stands_before() -> None:
    seen: list[AgentTask] = []
    crew = crew_of(lambda task: seen.append(task) or "42")  # type: ignore[func-returns-value]
    await drive(heavy(crew, quorum=8), crew)
    assert [task.seed for task in seen] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len({task.task for task in seen}) == 8
    assert all(task.task.startswith(f"{QUESTION.content}\n\n") for task in seen)
    assert len({task.limits.max_output_tokens for task in seen}) == 1
    assert sum(task.limits.max_output_tokens for task in seen) < 100_000


async def test_a_follow_up_question_reaches_the_agents_with_what_it_follows() -> None:
    seen: list[str] = []
    crew = crew_of(lambda task: seen.append(task.task) or "42")  # type: ignore[func-returns-value]
    opening = (
        ChatMessage(role=Role.SYSTEM, content="Be kind."),
        ChatMessage(role=Role.USER, content="How high is it?"),
        ChatMessage(role=Role.ASSISTANT, content="8,849 m."),
        ChatMessage(role=Role.USER, content="And in feet?"),
    )
    stage = Stage("text: It is so.", conductor=Heavy(crew), opening=opening)
    await drive(stage, crew)
    assert "Person: How high is it?\n\nAssistant: 8,849 m." in seen[0]
    assert "Be kind" not in seen[0]


async def test_readers_hear_of_every_agent_once_however_often_the_turn_wakes() -> None:
    crew = crew_of(lambda task: "42")
    stage = heavy(crew, quorum=8)
    await drive(stage, crew)
    assert len({event.agent for event in stage.heard.happened_of(AgentStarted)}) == 8
    assert len(stage.heard.happened_of(AgentStarted)) == len(stage.heard.happened_of(AgentFinished)) == 8


# ---- teams


def speaker(**answers: list[str]) -> Any:
    """Each role says its lines one after another."""
    said = {role: iter(lines) for role, lines in answers.items()}
    return lambda task: next(said[task.role])


async def test_a_discussion_goes_round_until_the_critic_is_done() -> None:
    seen: list[str] = []
    say = speaker(researcher=["A fact.", "A better fact."], coder=["6 * 7", "42"], critic=["Wrong!", "DONE"])
    crew = crew_of(lambda task: seen.append(task.task) or say(task))  # type: ignore[func-returns-value]
    stage = Stage("text: It is 42.", conductor=RoundRobin(crew, TEAMS.teams["discussion"], TEAMS))
    outcome = await drive(stage, crew)
    assert outcome.finish_reason is FinishReason.STOP
    roles_heard = [agent["role"] for agent in team_note(stage).data["agents"]]
    assert roles_heard == ["researcher", "coder", "critic"] * 2
    assert "A fact." not in seen[0]
    assert all(words in seen[5] for words in ("A fact.", "6 * 7", "Wrong!", "A better fact.", "42"))


async def test_a_discussion_ends_after_its_rounds_and_outlives_a_speaker_that_fails() -> None:
    crew = crew_of(lambda task: "" if task.role == "coder" else "I object.")
    stage = Stage("text: Done.", conductor=RoundRobin(crew, TEAMS.teams["discussion"], TEAMS))
    assert (await drive(stage, crew)).finish_reason is FinishReason.STOP
    assert len(team_note(stage).data["agents"]) == 3 * 3

    crew = crew_of(lambda task: "")
    stage = Stage("text: Done.", conductor=RoundRobin(crew, TEAMS.teams["discussion"], TEAMS))
    assert (await drive(stage, crew)).finish_reason is FinishReason.ERROR
    assert len(await crew.states()) == 3, "nobody goes on when a whole round brought nothing"


PLAN = """Here is my plan:
[{"role": "researcher", "task": "Find the height."}, {"role": "coder", "task": "Convert 8849 m to feet."}]"""


async def test_a_planner_splits_the_question_and_its_parts_are_done_at_the_same_time() -> None:
    at_once = 0

    async def together() -> str:
        nonlocal at_once
        at_once += 1
        while at_once < 2:
            await asyncio.sleep(0)
        return "29,032 ft"

    say = speaker(planner=[PLAN, "A draft: 29,032 ft."], critic=["The unit is missing at the start."])
    crew = crew_of(lambda task: together() if task.role in ("researcher", "coder") else say(task))
    stage = Stage("text: 29,032 feet.", conductor=PlannerLed(crew, TEAMS.teams["research"], TEAMS))
    outcome = await asyncio.wait_for(drive(stage, crew), timeout=10)
    assert outcome.finish_reason is FinishReason.STOP
    note = team_note(stage)
    assert [agent["role"] for agent in note.data["agents"]] == [
        *("planner", "researcher", "coder"),
        *("planner", "critic"),
    ]
    assert "Mend in it what the critic rightly found wrong." in note.text
    tasks = [agent.task for agent in await crew.states()]
    assert tasks[1:3] == ["Find the height.", "Convert 8849 m to feet."]
    assert "A draft: 29,032 ft." in tasks[4]


async def test_without_a_plan_that_can_be_read_the_first_member_gets_the_question() -> None:
    say = speaker(planner=["I cannot.", "A draft."], researcher=["A fact."], critic=["DONE"])
    crew = crew_of(say)
    stage = Stage("text: Yes.", conductor=PlannerLed(crew, TEAMS.teams["research"], TEAMS))
    assert (await drive(stage, crew)).finish_reason is FinishReason.STOP
    assert [agent.task for agent in await crew.states()][1] == QUESTION.content
    assert "no objection" in team_note(stage).text


def test_a_plan_is_read_from_whatever_surrounds_it() -> None:
    read = lambda text: patterns.plan_of(text, roles=("researcher", "coder"))  # noqa: E731
    assert read('```json\n{"tasks": [{"role": "Coder", "task": "x"}]}\n```') == [("coder", "x")]
    assert read('[1] is a note. [{"task": "y", "role": "pilot"}]') == [("researcher", "y")]
    assert read("[{") == read("") == read('[{"role": "coder"}]') == []


# ---- an operator's file


def test_an_operators_teams_come_on_top_of_the_built_in_ones() -> None:
    own = (
        '[roles.writer]\ninstructions = "Write."\ntools = ["calculate"]\n'
        '[teams.desk]\npattern = "round_robin"\nmembers = ["writer", "critic"]\n'
        "max_cost = 0.5\nmax_steps = 7\n"
    )
    teams = roles.load(own)
    assert {"research", "discussion", "desk"} <= set(teams.teams)
    assert teams.tools_of("writer") == ("calculate",)
    assert (teams.tools_of(""), teams.tools_of("gone")) == (None, ())
    bounded = teams.teams["desk"].bounded(Stage("text: x").setting.limits)
    assert (bounded.max_cost_nano, bounded.max_steps) == (500_000_000, 7)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[teams.x]\npattern = "round_robin"\nmembers = ["nobody"]', "nobody"),
        ('[teams.x]\npattern = "planner_led"\nmembers = ["coder"]', "no planner"),
        ('[teams.x]\npattern = "anarchy"\nmembers = ["coder"]', "anarchy"),
        ('[roles.x]\ninstruction = "typo"', "instruction"),
        ("[", "cannot be read"),
    ],
)
def test_teams_that_cannot_be_used_say_why(text: str, fault: str) -> None:
    with pytest.raises(roles.TeamsError, match=fault):
        roles.load(text)
