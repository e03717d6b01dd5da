"""Ways for a team to work: one after another over one discussion, or led by a planner. Every speaker is an
agent, so that what was said outlives any worker."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agents import budget
from agents.limits import Limits
from agents.teams import briefing, evidence, gathering, merge
from agents.teams.crew import AgentState, AgentTask, Crew
from agents.teams.roles import Team, Teams

if TYPE_CHECKING:
    from agents.steps.progress import Outcome, Parked, Progress
    from agents.steps.setting import Setting

DONE = "done"
_OBJECT = re.compile(r"[\[{]")

SPEAK = """\
{question}

What the team has said so far:

{discussion}

It is your turn. Add what your role can add, correct what is wrong, and do not repeat what was said."""

OPEN = "{question}\n\nYou speak first. The others of the team speak after you."

PLAN = """\
{question}

Split this into at most {most} tasks that can be done at the same time by these members of your team:
{members}
Answer with a JSON array alone, like [{{"role": "{example}", "task": "..."}}]. Whoever does a task sees its
text and nothing else: give it every name, figure and condition it needs."""

DRAFT = """\
{question}

Your team has worked on the parts of it:

{results}

Bring this together into one complete answer to the question."""

CRITICISE = """\
{question}

This is the answer that is to be given:

{draft}

It rests on this:

{results}"""

TOGETHER = """\
A team has worked on this question. {course}

{answers}

Now give the answer of this turn for the person, complete in itself: do not speak of the team. {mend}"""


class _Conductor:
    """What both patterns share: the team's roles as tasks, and the report."""

    def __init__(self, crew: Crew, team: Team, teams: Teams) -> None:
        self._crew = crew
        self._team = team
        self._teams = teams

    def _task(self, role: str, text: str, limits: Limits) -> AgentTask:
        known = self._teams.roles[role]
        bounds = budget.share(limits, num_agents=self._most_agents, max_steps=known.max_steps)
        return AgentTask(task=text, role=role, instructions=known.instructions.strip(), limits=bounds)

    @property
    def _most_agents(self) -> int:
        if self._team.pattern == "round_robin":
            return self._team.rounds * len(self._team.members)
        return self._team.max_tasks + 3  # the plan, the draft, the criticism

    async def _report(
        self,
        setting: Setting,
        progress: Progress,
        agents: Sequence[AgentState],
        *,
        course: str,
        mend: str,
    ) -> None:
        answers = await gathering.adopted(self._crew, setting, progress, agents)
        # Tools stay allowed: where the critic found a fault, the turn may have to look something up.
        data = merge.report(agents, pattern=self._team.pattern, text_only=False)
        text = TOGETHER.format(course=course, answers=answers, mend=mend)
        await gathering.put_down(setting, progress, text=text, data=data)


class RoundRobin(_Conductor):
    """Each member speaks in turn, having heard all before, until the critic says that it is done."""

    async def conduct(self, setting: Setting, progress: Progress) -> Outcome | Parked | None:
        if gathering.has_reported(progress) or progress.transcript.steps:
            return None
        speeches: list[AgentState] = []
        for turn in range(self._team.rounds * len(self._team.members)):
            round_, place = divmod(turn, len(self._team.members))
            task = self._speech(setting, progress, speeches, role=self._team.members[place])
            key = f"round {round_}.{place}"
            found = await gathering.finished(self._crew, setting, progress, [task], key=key)
            if found is None:
                return gathering.AT_WORK
            speeches += found
            if self._is_over(speeches, is_end_of_round=place == len(self._team.members) - 1):
                break
        if not any(speech.has_answered for speech in speeches):
            return gathering.all_failed(speeches)
        course = f"{len(speeches)} times one of it spoke, each having heard those before."
        await self._report(setting, progress, speeches, course=course, mend="Heed what was corrected last.")
        return None

    def _speech(
        self, setting: Setting, progress: Progress, speeches: Sequence[AgentState], *, role: str
    ) -> AgentTask:
        question = briefing.question_of(progress.transcript.opening)
        most = merge.chars_each(setting.context_tokens, num_agents=self._most_agents)
        discussion = briefing.discussion(speeches, most_chars=most)
        text = SPEAK if discussion else OPEN
        return self._task(role, text.format(question=question, discussion=discussion), setting.limits)

    def _is_over(self, speeches: Sequence[AgentState], *, is_end_of_round: bool) -> bool:
        """The critic has no objection, or a whole round brought nothing."""
        last = speeches[-1]
        if last.role == self._team.critic and is_done(last):
            return True
        of_round = speeches[-len(self._team.members) :]
        return is_end_of_round and not any(speech.has_answered for speech in of_round)


class PlannerLed(_Conductor):
    """The planner splits the question, the members work in parallel, the planner drafts the answer, the
    critic looks at it once, and the turn itself mends and gives it."""

    async def conduct(self, setting: Setting, progress: Progress) -> Outcome | Parked | None:
        if gathering.has_reported(progress) or progress.transcript.steps:
            return None
        question = briefing.question_of(progress.transcript.opening)
        bounds = setting.limits

        async def ask(tasks: Sequence[AgentTask], key: str) -> list[AgentState] | None:
            return await gathering.finished(self._crew, setting, progress, tasks, key=key)

        planned = await ask([self._task(self._team.planner, self._plan(question), bounds)], "plan")
        if planned is None:
            return gathering.AT_WORK
        parts = self._parts(planned[0], question)
        worked = await ask([self._task(role, text, bounds) for role, text in parts], "work")
        if worked is None:
            return gathering.AT_WORK
        if not any(agent.has_answered for agent in worked):
            return gathering.all_failed([*planned, *worked])
        results = _results(worked, setting)
        draft_text = DRAFT.format(question=question, results=results)
        drafted = await ask([self._task(self._team.planner, draft_text, bounds)], "draft")
        if drafted is None:
            return gathering.AT_WORK
        criticised = await self._criticised(ask, question, drafted[0], results, bounds)
        if criticised is None:
            return gathering.AT_WORK
        agents = [*planned, *worked, *drafted, *criticised]
        course = "A planner split it, others did the parts, the planner drafted an answer, a critic saw that."
        await self._report(setting, progress, agents, course=course, mend=_mend(criticised))
        return None

    async def _criticised(
        self, ask: Any, question: str, draft: AgentState, results: str, limits: Limits
    ) -> list[AgentState] | None:
        if not (self._team.critic and draft.has_answered):
            return []
        text = CRITICISE.format(question=question, draft=draft.answer.strip(), results=results)
        found: list[AgentState] | None = await ask([self._task(self._team.critic, text, limits)], "criticism")
        return found

    def _plan(self, question: str) -> str:
        members = "\n".join(
            f"- {role}: {self._teams.roles[role].instructions.strip().splitlines()[0]}"
            for role in self._team.members
        )
        example = self._team.members[0]
        return PLAN.format(question=question, most=self._team.max_tasks, members=members, example=example)

    def _parts(self, plan: AgentState, question: str) -> list[tuple[str, str]]:
        """The planner's tasks; where no plan can be read, the question itself for the first member."""
        parts = plan_of(plan.answer, roles=self._team.members)[: self._team.max_tasks]
        return parts or [(self._team.members[0], question)]


def plan_of(text: str, *, roles: Sequence[str]) -> list[tuple[str, str]]:
    """Roles and tasks of the first JSON array of tasks in the text; a role that is none of `roles` becomes
    the first of them."""
    for start in _OBJECT.finditer(text):
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            found = next((value for value in found.values() if isinstance(value, list)), [found])
        parts = [_part(item, roles) for item in found if isinstance(item, dict)]
        if tasks := [part for part in parts if part[1]]:
            return tasks
    return []


def is_done(speech: AgentState) -> bool:
    """Whether a critic has no objection: the last line says so and nothing else."""
    lines = [line for line in speech.answer.strip().splitlines() if line.strip()]
    return bool(lines) and lines[-1].strip(" .!*_`\"'").casefold() == DONE


def _part(item: dict[str, Any], roles: Sequence[str]) -> tuple[str, str]:
    role, task = str(item.get("role", "")).strip().casefold(), item.get("task", "")
    return (role if role in roles else roles[0]), (task.strip() if isinstance(task, str) else "")


def _results(agents: Sequence[AgentState], setting: Setting) -> str:
    texts = {agent.id: evidence.with_sources(agent) for agent in agents}
    return gathering.total_shown(agents, texts, context_tokens=setting.context_tokens)


def _mend(criticised: Sequence[AgentState]) -> str:
    if not criticised or is_done(criticised[0]):
        return "The critic had no objection: give the draft, in your own words where they are better."
    return "Mend in it what the critic rightly found wrong."
