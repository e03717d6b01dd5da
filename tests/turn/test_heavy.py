"""Heavy mode, teams and spawned agents as whole durable turns, driven by hand: every segment may be another
worker's, and any of them may die."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.db.models import Sum

from agents.teams.heavy import HINTS
from chat import conversations, dispatch, history, segment, turns
from chat.frames import Limits, TurnSend
from chat.models import Message, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from webapp.accounts.models import User
from webapp.billing.models import Account, Hold, UsageRecord
from webapp.catalog.models import ServedModel
from webapp.database_clock import FromNow

pytestmark = pytest.mark.django_db(transaction=True)

Ask = Callable[..., Turn]
SPAWN = json.dumps({"tasks": [{"task": "part one", "role": "coder"}, {"task": "part two"}]})


@pytest.fixture
def ask(alice: User, scripted_model: ServedModel) -> Ask:
    """Starts a turn of alice's on a model with a price."""
    scripted_model.prices.update(input_per_million="4", cached_input_per_million="0", output_per_million="16")

    def start(text: str = "What is it?", **fields: Any) -> Turn:
        command = TurnSend(client_id=str(uuid4()), text=text, model="scripted", long_thinking=True, **fields)
        return dispatch.submit_turn(alice, command)

    return start


def heavy_script(script: WriteScript, *, wrong: int = 3, final: str = "It is 42.") -> None:
    """So many trajectories are wrong, each in a way of its own."""
    mistakes = [
        Reply(when=hint[:20], lines=(f"text: I think so. Final answer: {number}",))
        for number, (_, hint) in enumerate(HINTS[:wrong])
    ]
    right = Reply(when="Final answer: ", lines=("text: It is clear. Final answer: 42",))
    script(*mistakes, right, Reply(lines=(f"text: {final}",)))


def drive_one(turn_id: Any) -> None:
    async_to_sync(segment.drive)(turn_id)


def due() -> list[Any]:
    """What the sweep would ring for, whatever it rang for lately."""
    Turn.objects.filter(status__in=("queued", "running")).update(wake_at=None)
    return turns.take_due()


def drive_all(*, most: int = 200) -> None:
    """As the workers and the sweep do, until nothing is left to be driven."""
    for _ in range(most):
        turn_ids = due()
        if not turn_ids:
            return
        for turn_id in turn_ids:
            drive_one(turn_id)
    raise AssertionError("the turns come to no end")


def team_note(turn: Turn) -> Message:
    return Message.objects.get(turn=turn, role="note", kind="team")


def text_of(message: Message) -> str:
    return message.parts.all()[0].text


def agents_of(turn: Turn) -> list[Turn]:
    return list(Turn.objects.filter(spawned_by=turn).order_by("created_at"))


def test_five_of_eight_are_right_and_all_eight_are_paid_and_shown(
    ask: Ask, script: WriteScript, alice: User
) -> None:
    heavy_script(script)
    turn = ask(effort="heavy")
    before = Account.objects.get(user=alice).balance_nano
    drive_all()
    turn.refresh_from_db()
    assert (turn.status, turn.finish_reason) == ("finished", "stop")
    assert history.turn_view(turn).answer == "It is 42."
    data = team_note(turn).data
    assert (data["votes"][0]["answer"], data["votes"][0]["votes"]) == ("42", 5)
    assert len(data["agents"]) == 8
    assert all(agent["cost_nano"] > 0 for agent in data["agents"])
    bills = UsageRecord.objects.aggregate(total=Sum("cost_nano"))["total"]
    assert UsageRecord.objects.count() == 9
    account = Account.objects.get(user=alice)
    assert (before - account.balance_nano, account.held_nano) == (bills, 0)
    assert (turn.budget_spent_nano, turn.budget_reserved_nano) == (bills, 0)


def test_the_turn_gives_up_its_worker_while_its_agents_think(ask: Ask, script: WriteScript) -> None:
    heavy_script(script)
    turn = ask(effort="heavy")
    drive_one(turn.id)
    turn.refresh_from_db()
    assert (turn.status, turn.waiting_for, turn.lease_until) == ("waiting", "agents", None)
    assert len(agents_of(turn)) == 8
    assert due() != [], "the agents want workers"


def test_the_rest_is_stopped_once_five_agree(ask: Ask, script: WriteScript) -> None:
    heavy_script(script, wrong=0)
    turn = ask(effort="heavy")
    drive_one(turn.id)
    for agent in agents_of(turn)[:5]:
        drive_one(agent.id)
    drive_one(turn.id)
    assert [agent.cancel_requested_at is not None for agent in agents_of(turn)] == [False] * 5 + [True] * 3
    drive_all()
    turn.refresh_from_db()
    assert turn.finish_reason == "stop"
    assert [agent.finish_reason for agent in agents_of(turn)] == ["stop"] * 5 + ["cancelled"] * 3
    assert UsageRecord.objects.count() == 6, "who was stopped before the first word costs nothing"


def die(turn: Turn) -> None:
    """A worker that claims the turn, and is never heard of again."""
    assert turns.claim(turn.id) is not None
    Turn.objects.filter(id=turn.id).update(lease_until=FromNow())


def test_workers_die_in_the_middle_and_the_same_agents_go_on_and_are_paid_once(
    ask: Ask, script: WriteScript
) -> None:
    heavy_script(script)
    turn = ask(effort="heavy")
    die(turn)  # before it spawned anybody
    drive_one(turn.id)
    agents = agents_of(turn)
    for agent in agents:
        die(agent)
    for agent in agents[:3]:
        drive_one(agent.id)
    Turn.objects.filter(id=turn.id).update(wake_at=FromNow())
    die(turn)  # when some have ended
    drive_all()
    die_after = Turn.objects.get(id=turn.id)
    assert die_after.finish_reason == "stop"
    assert [agent.id for agent in agents_of(turn)] == [agent.id for agent in agents]
    assert Message.objects.filter(turn=turn, kind="team").count() == 1
    assert UsageRecord.objects.count() == 9
    bills = UsageRecord.objects.aggregate(total=Sum("cost_nano"))["total"]
    assert (die_after.budget_spent_nano, die_after.budget_reserved_nano) == (bills, 0)
    assert not Hold.objects.filter(status="open").exists()


def test_the_agents_of_a_turn_that_is_stopped_are_stopped_with_it(
    ask: Ask, script: WriteScript, alice: User
) -> None:
    heavy_script(script)
    turn = ask(effort="heavy")
    drive_one(turn.id)
    drive_one(agents_of(turn)[0].id)
    dispatch.stop(alice, turn.id)
    drive_all()
    turn.refresh_from_db()
    assert turn.finish_reason == "cancelled"
    assert [agent.finish_reason for agent in agents_of(turn)] == ["stop"] + ["cancelled"] * 7
    assert Account.objects.get(user=alice).held_nano == 0


def test_a_conversation_is_deleted_with_the_agents_under_way_and_the_money_comes_back(
    ask: Ask, script: WriteScript, alice: User
) -> None:
    heavy_script(script)
    turn = ask(effort="heavy")
    drive_one(turn.id)
    drive_one(agents_of(turn)[0].id)
    conversations.delete(turn.conversation)
    assert not Turn.objects.exists()
    assert Account.objects.get(user=alice).held_nano == 0
    assert UsageRecord.objects.count() == 1


def test_when_all_trajectories_fail_the_turn_says_so(ask: Ask, script: WriteScript) -> None:
    script(Reply(when="Final answer: ", lines=("error: rejected No such model.",)))
    turn = ask(effort="heavy")
    drive_all()
    turn.refresh_from_db()
    assert turn.finish_reason == "error"
    assert "None of 8 agents brought an answer: No such model" in turn.error


def test_together_they_stay_within_the_turns_budget(ask: Ask, script: WriteScript) -> None:
    words = " ".join(["word"] * 400)  # 0.0064 each
    script(
        Reply(when="Final answer: ", lines=(f"text: {words}", "text:  Final answer: 42")),
        Reply(lines=("text: 42",)),
    )
    turn = ask(effort="heavy", limits=Limits(max_cost="0.03"))
    drive_all()
    turn.refresh_from_db()
    assert turn.budget_reserved_nano == 0
    assert turn.budget_spent_nano <= 30_000_000 + 2_048 * 16_000
    assert turn.status == "finished"


def test_an_agent_sees_nothing_of_the_turns_before(ask: Ask, script: WriteScript) -> None:
    script("text: A secret.")
    first = ask("Tell me.")
    drive_all()
    script(
        Reply(step=1, when="Go", lines=(f"call: spawn {SPAWN}",)),
        Reply(when="part", lines=("text: done",)),
        Reply(lines=("text: All.",)),
    )
    second = ask("Go", conversation=str(first.conversation_id))
    drive_one(second.id)
    [one, two] = agents_of(second)
    told = history.request_messages(one, text=history.user_text(one))
    assert "A secret." not in str(told)
    assert [message.role for message in told] == ["system", "user"]
    assert "programmer" in told[0].content
    assert [message.role for message in history.request_messages(two, text="part two")] == ["user"]


def test_spawned_agents_answer_their_turn_and_one_that_fails_is_a_result(
    ask: Ask, script: WriteScript
) -> None:
    script(
        Reply(step=1, when="Go", lines=(f"call: spawn {SPAWN}",)),
        Reply(when="part one", lines=("error: rejected Broken.",)),
        Reply(when="part two", lines=("text: The second part.",)),
        Reply(step=2, when="Go", lines=("text: Both are in.",)),
    )
    turn = ask("Go")
    drive_one(turn.id)
    turn.refresh_from_db()
    assert (turn.status, turn.waiting_for) == ("waiting", "agents")
    drive_all()
    turn.refresh_from_db()
    assert (turn.finish_reason, history.turn_view(turn).answer) == ("stop", "Both are in.")
    [result] = Message.objects.filter(turn=turn, role="tool")
    text = text_of(result)
    assert "The second part." in text
    assert "brought no answer (Broken.)" in text
    assert "It cost " in text


def test_an_agent_cannot_spawn_agents(ask: Ask, script: WriteScript) -> None:
    script(
        Reply(step=1, lines=(f"call: spawn {SPAWN}",)),
        Reply(step=2, lines=("text: Done.",)),
    )
    turn = ask("Go")
    drive_all()
    turn.refresh_from_db()
    assert turn.finish_reason == "stop"
    assert Turn.objects.count() == 3
    refused = Message.objects.filter(turn__spawned_by=turn, role="tool")
    assert all("There is no tool" in text_of(message) for message in refused)


PLAN = json.dumps([{"role": "researcher", "task": "Find x."}, {"role": "coder", "task": "Compute y."}])


def test_a_planner_led_team_works_from_end_to_end_though_workers_die(ask: Ask, script: WriteScript) -> None:
    script(
        Reply(when="Split this into", lines=(f"text: {PLAN}",)),
        Reply(when="Find x", lines=("text: x is 6",)),
        Reply(when="Compute y", lines=('call: calculate {"expression": "6 * 7"}', "text: y is 42")),
        Reply(when="Bring this together", lines=("text: A draft of 42.",)),
        Reply(when="that is to be given", lines=("text: Say what 42 is.",)),
        Reply(lines=("text: y is 42, of x.",)),
    )
    turn = ask(team="research", effort="low")
    for _ in range(60):
        turn_ids = due()
        for turn_id in turn_ids:
            die(Turn.objects.get(id=turn_id))
            drive_one(turn_id)
        if not turn_ids:
            break
    turn.refresh_from_db()
    assert (turn.finish_reason, history.turn_view(turn).answer) == ("stop", "y is 42, of x.")
    roles = ["planner", "researcher", "coder", "planner", "critic"]
    assert [agent.role for agent in agents_of(turn)] == roles
    assert [agent["role"] for agent in team_note(turn).data["agents"]] == roles


def test_a_discussion_works_from_end_to_end(ask: Ask, script: WriteScript) -> None:
    script(
        Reply(when="You speak first", lines=("text: It may be 41.",)),
        Reply(when=r"(?s)I correct it to 42.*your turn", lines=("text: DONE",)),
        Reply(when="It is your turn", lines=("text: I correct it to 42.",)),
        Reply(lines=("text: It is 42.",)),
    )
    turn = ask(team="discussion")
    drive_all()
    turn.refresh_from_db()
    assert (turn.finish_reason, history.turn_view(turn).answer) == ("stop", "It is 42.")
    assert [agent.role for agent in agents_of(turn)] == ["researcher", "coder", "critic"]


def test_a_team_that_does_not_exist_is_refused(ask: Ask, script: WriteScript) -> None:
    script("text: x")
    with pytest.raises(dispatch.Refusal) as refused:
        ask(team="nobodies")
    assert refused.value.code == "bad_team"
    assert not Turn.objects.exists()


def test_a_planner_has_no_tools_and_a_coder_has(ask: Ask, script: WriteScript) -> None:
    script(
        Reply(when="Split this into", step=1, lines=('call: calculate {"expression": "1"}',)),
        Reply(when="Split this into", lines=("text: []",)),
        Reply(lines=("text: Fine. DONE",)),
    )
    turn = ask(team="research")
    drive_all()
    [refused] = Message.objects.filter(turn__spawned_by=turn, role="tool")
    assert "There is no tool" in text_of(refused)
