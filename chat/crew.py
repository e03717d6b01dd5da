"""The agents of a durable turn: durable turns themselves, with `spawned_by`. See agents.teams.crew for the
port."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid5

from django.db import transaction
from django.db.models import F, QuerySet, Value
from django.db.models.expressions import Combinable
from redis.exceptions import RedisError

from agents import citations
from agents.happenings import AgentFinished, AgentStarted
from agents.steps.reply import Listener
from agents.teams import evidence
from agents.teams.crew import AgentId, AgentState, AgentTask, Evidence, TooManyAgents, cost_text
from agents.tool import Trust
from agents.transcript import NoteKind
from chat import answer_marks, doorbell, events, own_loop, passages, turns
from chat.models import Fact, Message, Part, Passage, Turn, TurnDocument
from inference.schema import FinishReason, Usage
from webapp.billing import holds
from webapp.billing.models import UsageRecord
from webapp.database_clock import FromNow

logger = logging.getLogger(__name__)

MAX_AGENTS = 64
AT_ONCE = 4  # so many begin at once, the others one by one: the first ones fill the caches for them
APART_S = 0.5
HEARD_OF_START, HEARD_OF_END = 1, 2


class DatabaseCrew:
    """The `Crew` of the turn that a worker holds at `fence`."""

    def __init__(self, turn: Turn, *, fence: int, max_agents: int = MAX_AGENTS) -> None:
        self._turn = turn
        self._fence = fence
        self._max_agents = max_agents

    async def spawn(self, tasks: Sequence[AgentTask], *, key: str) -> list[AgentId]:
        """Raises turns.TurnLost, too, once another worker has taken over."""
        return await own_loop.database(self._spawn, tasks, key)

    async def states(self) -> list[AgentState]:
        return await own_loop.database(lambda: states_of(self._children()))

    async def stop(self, agents: Sequence[AgentId]) -> None:
        asked = await own_loop.database(self._request_stop, agents)
        for agent in asked:
            try:
                await events.ask_to_stop(agent)
            except RedisError:
                logger.warning("agent %s: Redis is away, its worker will see the stop in the database", agent)

    async def adopt(self, agents: Sequence[AgentId]) -> dict[AgentId, dict[int, int]]:
        return await own_loop.database(self._adopt, agents)

    async def tell(self, listener: Listener, *, step: int) -> None:
        for agent, event, heard in await own_loop.database(self._news, step):
            await listener.happened(event)
            await own_loop.database(Turn.objects.filter(id=agent).update, heard=heard)

    def _lock(self) -> None:
        """Nobody else takes the turn, or ends it, before the transaction does."""
        held = Turn.objects.filter(id=self._turn.id, fence=self._fence, status=Turn.Status.RUNNING)
        if held.update(fence=self._fence) == 0:
            raise turns.TurnLost(f"turn {self._turn.id} is no more at fence {self._fence}")

    def _request_stop(self, agents: Sequence[AgentId]) -> list[UUID]:
        still_open = self._children().exclude(status=Turn.Status.FINISHED).filter(id__in=agents)
        asked = list(still_open.values_list("id", flat=True))
        for agent in asked:
            turns.request_stop(agent)
        return asked

    def _children(self) -> "QuerySet[Turn]":
        return Turn.objects.filter(spawned_by=self._turn.id).order_by("created_at", "id")

    def _spawn(self, tasks: Sequence[AgentTask], key: str) -> list[AgentId]:
        client_ids = [uuid5(self._turn.id, f"{key}.{index}") for index in range(len(tasks))]
        there = dict(self._children().filter(client_id__in=client_ids).values_list("client_id", "id"))
        if not there:
            there = self._create(tasks, client_ids)
        return [str(there[client_id]) for client_id in client_ids]

    def _create(self, tasks: Sequence[AgentTask], client_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """All of them or none, so that a key names either nothing or the whole set."""
        with transaction.atomic():
            self._lock()
            if self._children().count() + len(tasks) > self._max_agents:
                raise TooManyAgents(f"A turn may have {self._max_agents} agents in all.")
            made = {}
            for index, (task, client_id) in enumerate(zip(tasks, client_ids, strict=True)):
                agent = self._agent(task, client_id)
                agent.wake_at = FromNow(max(index + 1 - AT_ONCE, 0) * APART_S)
                agent.save(force_insert=True)
                message = Message.objects.create(turn=agent, step=0, role=Message.Role.USER)
                Part.objects.create(message=message, position=0, kind=Part.Kind.TEXT, text=task.task)
                made[client_id] = agent.id
            first = list(made.values())[:AT_ONCE]
            transaction.on_commit(lambda: _ring(first))
        return made

    def _agent(self, task: AgentTask, client_id: UUID) -> Turn:
        turn, bounds = self._turn, task.limits
        return Turn(
            conversation_id=turn.conversation_id,
            spawned_by_id=turn.id,
            team=turn.team,
            role=task.role,
            instructions=task.instructions,
            seed=task.seed,
            tool_terms=turn.tool_terms,
            client_id=client_id,
            model=turn.model,
            # Nothing is held yet: each call of the agent holds what it needs, so that many can begin.
            hold=holds.place(
                turn.conversation.user,
                model=turn.model,
                max_input_tokens=0,
                max_output_tokens=0,
                ttl=timedelta(seconds=bounds.max_seconds + turns.SPARE_S),
            ),
            long_thinking=turn.long_thinking,
            effort=Turn.Effort.HIGH if turn.effort == Turn.Effort.HEAVY else turn.effort,
            **asdict(bounds),
        )

    def _adopt(self, agents: Sequence[AgentId]) -> dict[AgentId, dict[int, int]]:
        found = [state for state in states_of(self._children()) if state.id in agents]
        passages, places = evidence.gathered(found)
        with transaction.atomic():
            self._lock()
            own = {(one.source, one.text): one.number for one in Passage.objects.filter(turn=self._turn.id)}
            numbers = []
            for one in passages:
                if (one.source, one.text) not in own:
                    own[one.source, one.text] = max(own.values(), default=0) + 1
                    _keep(one, turn_id=self._turn.id, number=own[one.source, one.text])
                numbers.append(own[one.source, one.text])
        return {
            agent: {number: numbers[place] for number, place in at.items()} for agent, at in places.items()
        }

    def _news(self, step: int) -> list[tuple[AgentId, AgentStarted | AgentFinished, int]]:
        fresh = self._children().exclude(heard=HEARD_OF_END)
        heard = {str(agent): level for agent, level in fresh.values_list("id", "heard")}
        news: list[tuple[AgentId, AgentStarted | AgentFinished, int]] = []
        for state in states_of(fresh):
            if heard[state.id] < HEARD_OF_START:
                started = AgentStarted(step=step, agent=state.id, role=state.role, task=state.task)
                news.append((state.id, started, HEARD_OF_START))
            if state.finish_reason is not None:
                news.append((state.id, finished_event(state, step=step), HEARD_OF_END))
        return news


def states_of(agents: "QuerySet[Turn]") -> list[AgentState]:
    """How far these turns are, as agents; of those under way only what they are and what they cost so far."""
    found = list(agents.defer("instructions"))
    ids = [agent.id for agent in found]
    over = [agent for agent in found if agent.status == Turn.Status.FINISHED]
    over_ids = [agent.id for agent in over]
    tasks = dict(_texts(ids, step=Value(0), role=Message.Role.USER))
    last = F("message__turn__next_step") - 1
    answers = dict(_texts(over_ids, step=last, role=Message.Role.ASSISTANT))
    bills = UsageRecord.objects.in_bulk([agent.hold_id for agent in over], field_name="hold_id")
    found_by = _by_turn(Passage.objects.filter(turn__in=over_ids))
    shown = _shown_to(over, answers)
    facts = _by_turn(Fact.objects.filter(turn__in=over_ids))
    notes = Message.objects.filter(turn__in=over_ids, role=Message.Role.NOTE, kind=NoteKind.CHECK)
    checks = dict(notes.order_by("step", "position").values_list("turn_id", "data"))  # the last one stands
    return [
        _state(
            agent,
            task=tasks.get(agent.id, ""),
            answer=answers.get(agent.id, ""),
            bill=bills.get(agent.hold_id),
            passages=[*shown.get(agent.id, []), *found_by.get(agent.id, [])],
            facts=facts.get(agent.id, []),
            check=checks.get(agent.id, {}),
        )
        for agent in found
    ]


def _shown_to(agents: Sequence[Turn], answers: Mapping[UUID, str]) -> dict[UUID, list[Passage]]:
    """What their answers cite of the documents that they read with their task: passages of the turn they work
    for."""
    if not TurnDocument.objects.filter(turn__in={agent.spawned_by_id for agent in agents}).exists():
        return {}
    cited = {agent.id: answer_marks.cited(answers.get(agent.id, "")) for agent in agents}
    return {
        agent.id: list(passages.visible(agent).filter(number__in=cited[agent.id]).exclude(turn=agent.id))
        for agent in agents
        if cited[agent.id]
    }


def finished_event(state: AgentState, *, step: int) -> AgentFinished:
    """What the readers of its turn hear of an agent that has finished."""
    return AgentFinished(
        step=step,
        agent=state.id,
        finish_reason=state.finish_reason or "",
        answer=state.answer,
        cost=cost_text(state.cost_nano),
    )


def _state(
    agent: Turn,
    *,
    task: str,
    answer: str,
    bill: UsageRecord | None,
    passages: Iterable[Passage],
    facts: Iterable[Fact],
    check: Mapping[str, Any],
) -> AgentState:
    is_over = agent.status == Turn.Status.FINISHED
    return AgentState(
        id=str(agent.id),
        role=agent.role,
        task=task,
        finish_reason=FinishReason(agent.finish_reason) if is_over else None,
        error=agent.error,
        answer=answer if is_over else "",
        usage=_usage(bill) if bill else Usage(),
        num_steps=bill.num_steps if bill else agent.next_step - 1,
        cost_nano=bill.cost_nano if bill else agent.budget_spent_nano,
        evidence=tuple(
            Evidence(
                number=passage.number,
                source=passage.source,
                title=passage.title,
                text=passage.text,
                fetched_at=passage.fetched_at,
                trust=Trust(passage.trust),
            )
            for passage in passages
        ),
        facts=tuple(fact.text for fact in facts),
        num_supported=check.get("num_supported", 0),
        num_unsupported=check.get("num_unsupported", 0),
    )


def _usage(bill: UsageRecord) -> Usage:
    return Usage(
        input_uncached_tokens=bill.input_uncached_tokens,
        input_cached_tokens=bill.input_cached_tokens,
        output_tokens=bill.output_tokens,
        reasoning_tokens=bill.reasoning_tokens,
    )


def _texts(turn_ids: Sequence[UUID], *, step: Combinable, role: str) -> "QuerySet[Part, tuple[UUID, str]]":
    """What this role said in this step of each turn."""
    said = Part.objects.filter(message__turn__in=turn_ids, message__step=step, message__role=role)
    return said.filter(kind=Part.Kind.TEXT).values_list("message__turn_id", "text")


Row = TypeVar("Row", Passage, Fact)


def _by_turn(rows: "QuerySet[Row]") -> dict[UUID, list[Row]]:
    grouped: dict[UUID, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.turn_id, []).append(row)
    return grouped


def _keep(found: Evidence, *, turn_id: UUID, number: int) -> None:
    """Make it a passage of this turn, too."""
    Passage.objects.create(
        turn_id=turn_id,
        number=number,
        call_id="",
        source=found.source,
        title=found.title,
        text=found.text,
        sha256=citations.fingerprint(found.text),
        trust=found.trust,
        fetched_at=found.fetched_at,
    )


def _ring(agents: Iterable[UUID]) -> None:
    for agent in agents:
        doorbell.ring(agent)
