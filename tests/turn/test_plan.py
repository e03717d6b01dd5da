"""The plan, the facts and a rollback of a durable turn: rows, events, and a person who decides."""

import json
from uuid import UUID

import pytest

from chat import steering
from chat.frames import CallDecide
from chat.models import Fact, Message, Part, PlanItem, Turn
from inference.backends.scripted import Reply
from tests import services
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)

LINES = [{"text": "Work it out", "phase": "gather", "status": "doing"}, {"text": "Check it"}]
PLAN = f"call: plan {json.dumps({'lines': LINES})}"


def texts(turn: UUID) -> list[str]:
    return [item.text for item in PlanItem.objects.filter(turn=turn)]


def test_a_plan_is_kept_and_its_readers_see_all_of_it(alice_tab: Tab, script: WriteScript) -> None:
    script(Reply(step=1, lines=(PLAN,)), Reply(step=2, lines=("text: Done.",)))
    frames = alice_tab.ask("Go on.", long_thinking=True)
    [changed] = frames.of("plan.changed")
    assert [(item["text"], item["status"]) for item in changed["items"]] == [
        ("Work it out", "doing"),
        ("Check it", "todo"),
    ]
    assert texts(UUID(frames[-1]["turn"])) == ["Work it out", "Check it"]


def test_the_first_plan_waits_for_its_approval_and_is_followed_as_the_person_changed_it(
    alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    script(Reply(step=1, lines=(PLAN,)), Reply(step=2, lines=("text: Done.",)))
    turn_id = alice_tab.start("Go on.", long_thinking=True, plan_needs_approval=True)
    [waiting] = alice_tab.wait_for("turn.waiting")["calls"]
    assert "1. (doing) Work it out" in waiting["prompt"]
    turn = Turn.objects.get(id=turn_id)
    services.wait_until(lambda: _is_parked(turn), within_s=30, what="the end of the segment")
    assert texts(turn.id) == []
    command = CallDecide(
        turn=turn_id,
        call=waiting["call_id"],
        decision="approved",
        arguments=waiting["arguments"],
        edited=json.dumps({"lines": [{"text": "Work it out twice"}]}),
    )
    steering.decide_call(alice, command)
    alice_tab.wait_for("turn.finished")
    assert texts(turn.id) == ["Work it out twice"]
    result = Part.objects.get(message__turn=turn, kind=Part.Kind.TOOL_RESULT).text
    assert "approved" in result
    assert "Work it out twice" in result


def test_a_rollback_takes_facts_back_with_their_steps_and_leaves_its_lesson(
    alice_tab: Tab, script: WriteScript
) -> None:
    remember = {"fact": "It is 5.", "evidence": ["functions.calculate:0"]}
    rollback = {"to_call": "functions.calculate:0", "lesson": "It was not 5."}
    script(
        Reply(step=1, lines=('call: calculate {"expression": "2 + 2"}',)),
        Reply(step=2, lines=(f"call: remember {json.dumps(remember)}",)),
        Reply(step=3, lines=(f"call: rollback {json.dumps(rollback)}",)),
    )
    # After the rollback the request is that of step 2 again: the scripted model would say the same.
    frames = alice_tab.ask("Go on.", long_thinking=True, limits={"max_steps": 3})
    turn = Turn.objects.get(id=frames[-1]["turn"])
    note = turn.messages.get(role=Message.Role.NOTE, kind="rollback")
    assert note.data["to_step"] == 1
    assert "It was not 5." in note.parts.get().text
    [added] = [frame for frame in frames.of("note.added") if frame["kind"] == "rollback"]
    assert "It was not 5." in added["text"]
    assert Fact.objects.filter(turn=turn).count() >= 1, "the history stays"


def _is_parked(turn: Turn) -> bool:
    turn.refresh_from_db()
    return turn.status == Turn.Status.WAITING
