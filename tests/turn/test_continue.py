"""A turn that a limit ended goes on where it was: with its reasoning, its results and what it wrote down."""

from uuid import uuid4

import pytest

from chat import dispatch, openings
from chat.dispatch import Refusal
from chat.frames import TurnContinue, TurnRegenerate
from chat.models import Fact, Turn
from inference.backends.scripted import Reply
from inference.schema import Role
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from webapp.accounts.models import User
from webapp.billing.models import Hold, UsageRecord

pytestmark = pytest.mark.django_db(transaction=True)

TURN = (
    Reply(when="Calculate", step=1, lines=("think: one", 'call: calculate {"expression": "6 * 7"}')),
    Reply(when="Calculate", step=2, lines=("think: two", 'call: calculate {"expression": "7 * 7"}')),
    Reply(when="Calculate", step=3, lines=("text: All I know is 42.",)),
    Reply(when="Go on", step=1, lines=("think: three", 'call: calculate {"expression": "8 * 8"}')),
    Reply(when="Go on", step=2, lines=("text: It is 64.",)),
)


def ended_by_its_limit(tab: Tab, script: WriteScript) -> Turn:
    script(*TURN)
    tab.ask("Calculate.", long_thinking=True, limits={"max_steps": 2})
    return Turn.objects.get()


def go_on(tab: Tab, user: User, turn: Turn, *, steps: int = 5) -> Turn:
    command = TurnContinue(turn=str(turn.id), client_id=str(uuid4()), steps=steps)
    further = dispatch.continue_turn(user, command)
    tab.send("turn.attach", turn=str(further.id))
    tab.wait_for("turn.finished", where=lambda frame: frame["turn"] == str(further.id))
    further.refresh_from_db()
    return further


def test_a_turn_goes_on_with_its_steps_and_without_the_answer_that_was_forced(
    alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    ended = ended_by_its_limit(alice_tab, script)
    assert (ended.finish_reason, ended.limit) == ("length", "steps")
    further = go_on(alice_tab, alice, ended)
    assert (further.finish_reason, further.continues_id, further.parent_id) == ("stop", ended.id, ended.id)
    messages = openings.messages(further, text="Go on.")
    assert [m.reasoning for m in messages if m.role is Role.ASSISTANT] == ["one", "two"]
    assert [m.content for m in messages if m.role is Role.TOOL] == ["42", "49"]
    assert not any("All I know" in m.content or "limit" in m.content for m in messages)
    ids = [part.tool_call_id for m in further.messages.all() for part in m.parts.filter(kind="tool_call")]
    assert ids == ["functions.calculate:2"]


def test_it_is_paid_for_by_itself_and_limited_anew(alice_tab: Tab, alice: User, script: WriteScript) -> None:
    ended = ended_by_its_limit(alice_tab, script)
    further = go_on(alice_tab, alice, ended, steps=7)
    assert further.max_steps == 7
    assert further.hold_id != ended.hold_id
    assert Hold.objects.filter(status=Hold.Status.SETTLED).count() == 2
    assert UsageRecord.objects.get(hold=further.hold_id).num_steps == 2


def test_it_answers_at_once_with_what_it_has(alice_tab: Tab, alice: User, script: WriteScript) -> None:
    ended = ended_by_its_limit(alice_tab, script)
    script(
        Reply(when="Answer now", step=1, lines=('call: calculate {"expression": "1"}', "text: 42 and 49.")),
    )
    command = TurnContinue(turn=str(ended.id), client_id=str(uuid4()), answers=True)
    further = dispatch.continue_turn(alice, command)
    alice_tab.send("turn.attach", turn=str(further.id))
    alice_tab.wait_for("turn.finished", where=lambda frame: frame["turn"] == str(further.id))
    further.refresh_from_db()
    assert (further.limit, further.next_step) == ("steps", 2)
    assert not further.tool_runs.exists()
    said = further.messages.filter(role="assistant").values_list("parts__text", flat=True)
    assert "42 and 49." in said


def test_what_the_turn_had_written_down_is_there(alice_tab: Tab, alice: User, script: WriteScript) -> None:
    ended = ended_by_its_limit(alice_tab, script)
    Fact.objects.create(turn=ended, key="k", text="The answer is 42.")
    further = go_on(alice_tab, alice, ended)
    assert [fact.text for fact in further.facts.all()] == ["The answer is 42."]


def test_a_continuation_that_is_answered_again_goes_on_with_the_same_steps(
    alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    further = go_on(alice_tab, alice, ended_by_its_limit(alice_tab, script))
    again = dispatch.regenerate(alice, TurnRegenerate(turn=str(further.id), client_id=str(uuid4())))
    messages = openings.messages(again, text="Go on.")
    assert [m.reasoning for m in messages if m.role is Role.ASSISTANT] == ["one", "two"]


def test_a_turn_that_no_limit_ended_is_not_continued(
    alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    script("text: done")
    alice_tab.ask("Hello")
    with pytest.raises(Refusal) as refused:
        go_on(alice_tab, alice, Turn.objects.get())
    assert refused.value.code == "nothing_to_continue"


def test_a_continuation_that_is_sent_twice_is_one(alice_tab: Tab, alice: User, script: WriteScript) -> None:
    ended = ended_by_its_limit(alice_tab, script)
    command = TurnContinue(turn=str(ended.id), client_id=str(uuid4()), steps=5)
    assert dispatch.continue_turn(alice, command) == dispatch.continue_turn(alice, command)
