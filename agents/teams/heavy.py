"""Heavy mode: several trajectories think about one question at the same time, their answers are counted, and
the turn itself brings them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agents import budget
from agents.teams import briefing, gathering, merge
from agents.teams.crew import AgentState, AgentTask, Crew

if TYPE_CHECKING:
    from agents.steps.progress import Outcome, Parked, Progress
    from agents.steps.setting import Setting

NUM_TRAJECTORIES = 8
QUORUM = 5
KEY = "heavy"

# How each sets out. They stand behind the question, so that all share what comes before in the prefix cache.
HINTS: tuple[tuple[str, str], ...] = (
    ("straight", "Work straight towards the answer, and check it once before you give it."),
    ("in parts", "Break the question into parts, settle each by itself, then put them together."),
    ("backwards", "Begin with what a right answer must satisfy, and work back from there."),
    (
        "sources",
        "Rest every fact on at least two sources that do not copy one another, where you have tools.",
    ),
    ("numbers", "Estimate first, then calculate every number with a tool where there is one, and compare."),
    ("doubt", "Write down the answer that seems obvious, then try to refute it before you believe it."),
    ("rivals", "Name several answers that could be right, and rule them out one by one."),
    ("wording", "Read the question twice: settle its words, units, dates and odd cases first, then answer."),
)

TOGETHER = """\
{num} agents have worked on this question by different ways, not knowing of each other. Their votes:
{votes}

{answers}

Now give the answer of this turn. Reflect before you do: find where they differ and why, which of them rests
on evidence or calculation and which only on memory, and whether most of them share one mistake; a majority is
a hint and no proof. Then write the answer for the person, complete in itself: do not speak of the agents."""


class Heavy:
    """A `Conductor`. Once `quorum` trajectories agree the others are stopped."""

    def __init__(self, crew: Crew, *, num_trajectories: int = NUM_TRAJECTORIES, quorum: int = QUORUM) -> None:
        self._crew = crew
        self._num = num_trajectories
        self._quorum = quorum

    async def conduct(self, setting: Setting, progress: Progress) -> Outcome | Parked | None:
        if gathering.has_reported(progress) or progress.transcript.steps:
            return None
        tasks = self._tasks(setting, progress)
        agents = await gathering.at_work(self._crew, setting, progress, tasks, key=KEY)
        busy = [agent.id for agent in agents if not agent.is_finished]
        if busy:
            if merge.has_agreed(agents, quorum=self._quorum):
                await self._crew.stop(busy)
            return gathering.AT_WORK
        if not any(agent.has_answered for agent in agents):
            return gathering.all_failed(agents)
        await self._report(setting, progress, agents)
        return None

    def _tasks(self, setting: Setting, progress: Progress) -> list[AgentTask]:
        question = briefing.question_of(progress.transcript.opening)
        part = budget.share(setting.limits, num_agents=self._num)
        tasks = []
        for index in range(self._num):
            role, hint = HINTS[index % len(HINTS)]
            text = f"{question}\n\n{hint} {briefing.ENDING}"
            tasks.append(AgentTask(task=text, role=role, seed=index + 1, limits=part))
        return tasks

    async def _report(self, setting: Setting, progress: Progress, agents: Sequence[AgentState]) -> None:
        text = TOGETHER.format(
            num=len(agents),
            votes=merge.votes_in_words(merge.ballots(agents)),
            answers=await gathering.adopted(self._crew, setting, progress, agents),
        )
        # Where they agree, another round of tools would only be a ninth trajectory; where they do not, the
        # turn may look up or calculate what they differ in.
        has_agreed = merge.has_agreed(agents, quorum=self._quorum)
        data = merge.report(agents, pattern=KEY, text_only=has_agreed)
        await gathering.put_down(setting, progress, text=text, data=data)
