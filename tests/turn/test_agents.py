"""Agents of a turn: turns of their own that see only their task, once each, however often they are asked
for."""

from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone
from pytest_django import Settings

from agents.limits import Limits
from agents.steps.progress import Parked
from agents.teams.crew import AgentTask, TooManyAgents
from agents.tool import WaitingFor
from chat import conversations, dispatch, history, turns
from chat.crew import DatabaseCrew
from chat.frames import TurnRegenerate, TurnSend
from chat.models import Conversation, Message, Turn
from inference.schema import Usage
from tests.agents.stage import Heard
from webapp.accounts.models import User
from webapp.billing.models import Account, Hold
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

BOUNDS = Limits(max_steps=5, max_seconds=60, max_reasoning_tokens=100, max_output_tokens=1_000)


def task(text: str, **fields: object) -> AgentTask:
    return AgentTask(task=text, limits=BOUNDS, **fields)  # type: ignore[arg-type]


@pytest.fixture
def turn(alice: User, scripted_model: ServedModel, script: object) -> Turn:
    """A turn of alice's that a worker holds at fence 1."""
    script("text: done")  # type: ignore[operator]
    command = TurnSend(client_id=str(uuid4()), text="Hello", model="scripted", long_thinking=True)
    turn = dispatch.submit_turn(alice, command)
    assert turns.claim(turn.id) == 1
    return Turn.objects.select_related("conversation__user", "model").get(id=turn.id)


def spawn(crew: DatabaseCrew, *texts: str, key: str = "k") -> list[str]:
    return async_to_sync(crew.spawn)([task(text) for text in texts], key=key)


def test_agents_asked_for_again_under_the_same_key_are_the_same(turn: Turn) -> None:
    crew = DatabaseCrew(turn, fence=1)
    first = spawn(crew, "one", "two")
    assert spawn(crew, "one", "two") == first
    assert spawn(crew, "one", "two", key="other") != first
    assert Turn.objects.filter(spawned_by=turn).count() == 4
    assert [state.task for state in async_to_sync(crew.states)()] == ["one", "two"] * 2


def test_agents_are_on_no_branch_and_hold_no_money_until_they_call_a_model(turn: Turn, alice: User) -> None:
    spawn(DatabaseCrew(turn, fence=1), "one", "two")
    assert Conversation.objects.get().current_turn_id == turn.id
    assert Hold.objects.filter(turn__spawned_by=turn, amount_nano=0).count() == 2
    assert Account.objects.get(user=alice).held_nano == Hold.objects.get(turn=turn).amount_nano


def test_agents_take_no_place_among_their_users_turns(turn: Turn, alice: User, settings: Settings) -> None:
    settings.CONCURRENT_TURNS = 2
    spawn(DatabaseCrew(turn, fence=1), *"abcdefgh")
    command = TurnSend(client_id=str(uuid4()), text="Another", model="scripted")
    second = dispatch.submit_turn(alice, command)
    with pytest.raises(dispatch.Refusal) as refused:
        dispatch.submit_turn(alice, TurnSend(client_id=str(uuid4()), text="A third", model="scripted"))
    assert refused.value.code == "rate_limited"
    parked = Parked(waiting_for=WaitingFor.AGENTS, wake_in_s=30)
    turns.park(turn, parked, fence=1, last_seq=1, spent=Usage())
    with pytest.raises(dispatch.Refusal):  # a turn whose agents work keeps its place
        dispatch.submit_turn(alice, TurnSend(client_id=str(uuid4()), text="A third", model="scripted"))
    conversations.delete(second.conversation)
    dispatch.submit_turn(alice, TurnSend(client_id=str(uuid4()), text="A third", model="scripted"))


def test_an_agent_stands_beside_no_turn_and_none_is_hung_on_it(turn: Turn, alice: User) -> None:
    [agent] = spawn(DatabaseCrew(turn, fence=1), "one")
    assert history.turn_view(Turn.objects.get(id=turn.id)).siblings == (turn.id,)
    assert [view.turn.id for view in history.branch(turn.conversation)] == [turn.id]
    again = TurnRegenerate(turn=agent, client_id=str(uuid4()))
    with pytest.raises(dispatch.Refusal):
        dispatch.regenerate(alice, again)


def test_a_worker_that_was_overtaken_can_spawn_nothing(turn: Turn) -> None:
    with pytest.raises(turns.TurnLost):
        spawn(DatabaseCrew(turn, fence=0), "one")
    assert not Turn.objects.filter(spawned_by=turn).exists()


def test_a_turn_has_so_many_agents_and_no_more(turn: Turn) -> None:
    crew = DatabaseCrew(turn, fence=1, max_agents=3)
    spawn(crew, "one", "two")
    with pytest.raises(TooManyAgents):
        spawn(crew, "three", "four", key="more")
    assert Turn.objects.filter(spawned_by=turn).count() == 2
    spawn(crew, "one", "two")  # these are there already


def test_the_turns_readers_hear_of_each_agent_once(turn: Turn) -> None:
    crew, heard = DatabaseCrew(turn, fence=1), Heard()
    first, _ = spawn(crew, "one", "two")
    async_to_sync(crew.tell)(heard, step=1)
    Message.objects.create(turn_id=first, step=1, role="assistant").parts.create(
        position=0, kind="text", text="the answer"
    )
    Turn.objects.filter(id=first).update(
        status="finished", finish_reason="stop", next_step=2, finished_at=timezone.now()
    )
    async_to_sync(crew.tell)(heard, step=1)
    async_to_sync(crew.tell)(heard, step=1)
    events = [event for _, event in heard.events]
    assert [(type(event).__name__, event.agent == first) for event in events] == [
        ("AgentStarted", True),
        ("AgentStarted", False),
        ("AgentFinished", True),
    ]
    assert events[-1].answer == "the answer"


def test_only_open_agents_of_the_turn_are_stopped(turn: Turn) -> None:
    crew = DatabaseCrew(turn, fence=1)
    agents = spawn(crew, "one", "two")
    Turn.objects.filter(id=agents[0]).update(status="finished", finish_reason="stop")
    async_to_sync(crew.stop)([*agents, str(turn.id)])
    asked = Turn.objects.exclude(cancel_requested_at=None).values_list("id", flat=True)
    assert [str(agent) for agent in asked] == [agents[1]]
