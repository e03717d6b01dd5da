"""A call that waits for a person waits in the database alone. What they say is done once, to the letter."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from agents.happenings import PlanLine
from chat import dispatch, steering, tasks
from chat.frames import CallDecide, PlanEdit
from chat.models import Message, Part, ToolRun, Turn
from inference.backends.scripted import Reply
from tests import services
from tests.conftest import WriteScript
from tests.loopforge.ledger import Ledger
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from tests.turn.outside_tools import FOUND, outside
from tests.turn.test_resume import start_worker, sweep_until
from tests.turn.worker import WorkerProcess
from webapp.accounts.models import User

__all__ = ["outside", "start_worker"]

pytestmark = pytest.mark.django_db(transaction=True)

ALICE = "alice@example.org"
SIGN = '{"text": "I agree."}'
SIGNING = (
    Reply(step=1, lines=(f"call: sign {SIGN}",)),
    Reply(step=2, lines=("text: Done.",)),
)


@pytest.fixture
def waiting(alice_tab: Tab, script: WriteScript, outside: Ledger) -> Turn:
    """A turn of alice's that waits for her consent."""
    return wait_at(alice_tab, script, *SIGNING)


def wait_at(tab: Tab, script: WriteScript, *replies: Reply) -> Turn:
    script(*replies)
    turn_id = tab.start("Sign it.", long_thinking=True)
    tab.wait_for("turn.waiting")
    turn = Turn.objects.get(id=turn_id)
    services.wait_until(lambda: is_parked(turn), within_s=30, what="the end of the segment")
    return turn


def is_parked(turn: Turn) -> bool:
    turn.refresh_from_db()
    return turn.status == Turn.Status.WAITING


def say(turn: Turn, decision: str, **more: str) -> CallDecide:
    run = turn.tool_runs.get(state=ToolRun.State.WAITING)
    arguments = more.pop("arguments", run.arguments)
    return CallDecide(turn=str(turn.id), call=run.call_id, decision=decision, arguments=arguments, **more)  # type: ignore[arg-type]


def result_of(turn: Turn) -> str:
    return Part.objects.get(message__turn=turn, kind=Part.Kind.TOOL_RESULT).text


def refusal_of(function: Callable[[], object]) -> str:
    with pytest.raises(dispatch.Refusal) as refusal:
        function()
    return refusal.value.code


def test_a_decision_after_a_full_restart_resumes_a_turn_that_no_worker_knows_of(
    open_tab: OpenTab,
    alice: User,
    script: WriteScript,
    outside: Ledger,
    start_worker: Callable[[], WorkerProcess],
) -> None:
    worker, tab = start_worker(), open_tab(alice)
    turn = wait_at(tab, script, *SIGNING)
    [call] = tab.wait_for("turn.waiting")["calls"]
    assert (call["tool"], call["arguments"], call["waiting_for"]) == ("sign", SIGN, "approval")
    worker.kill()
    services.flush(settings.REDIS_URL)
    assert Turn.objects.get().lease_until is None
    assert outside.num_effects("sign") == 0

    steering.decide_call(alice, say(turn, "approved"))
    start_worker()
    sweep_until(lambda: Turn.objects.get().status == Turn.Status.FINISHED, within_s=30)
    assert outside.num_effects("sign") == 1
    run = ToolRun.objects.get()
    assert (run.state, run.decision, run.decided_by) == ("done", "approved", alice)
    assert run.decided_at
    assert result_of(turn) == "Signed: I agree."


def test_a_refused_call_is_not_run_and_the_model_is_told_the_persons_word(
    waiting: Turn, alice_tab: Tab, alice: User, outside: Ledger
) -> None:
    steering.decide_call(alice, say(waiting, "refused", answer="Not like this."))
    assert alice_tab.wait_for("turn.finished")["finish_reason"] == "stop"
    assert outside.num_effects("sign") == 0
    assert "Not like this." in result_of(waiting)


def test_edited_arguments_are_another_call_and_only_they_are_run(
    waiting: Turn, alice_tab: Tab, alice: User, outside: Ledger
) -> None:
    first = waiting.tool_runs.get()
    steering.decide_call(alice, say(waiting, "approved", edited='{"text": "I object."}'))
    alice_tab.wait_for("turn.finished")
    first.refresh_from_db()
    second = waiting.tool_runs.get(edition=1)
    assert (first.state, second.state, second.decision) == ("replaced", "done", "approved")
    assert second.key != first.key
    assert outside.result_of(second.key) == "I object."
    assert outside.num_effects("sign") == 1
    assert "I object." in result_of(waiting)


def test_what_nobody_decides_in_time_is_refused_and_the_turn_goes_on(
    waiting: Turn, alice_tab: Tab, alice: User, outside: Ledger
) -> None:
    late = say(waiting, "approved")
    assert waiting.tool_runs.get().expires_at is not None
    ToolRun.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refusal_of(lambda: steering.decide_call(alice, late)) == "call_expired"
    tasks.sweep()
    alice_tab.wait_for("turn.finished")
    assert ToolRun.objects.get().decision == "expired"
    assert refusal_of(lambda: steering.decide_call(alice, late)) == "call_decided"
    assert outside.num_effects("sign") == 0


def test_of_two_who_decide_at_once_one_is_heard_and_the_other_told(
    waiting: Turn, alice_tab: Tab, alice: User, outside: Ledger
) -> None:
    commands = [say(waiting, decision) for decision in ("approved", "refused") * 4]
    at_once, codes = threading.Barrier(len(commands)), []

    def decide(command: CallDecide) -> None:
        at_once.wait(10)
        try:
            codes.append(steering.decide_call(alice, command).decision)
        except dispatch.Refusal as refusal:
            codes.append(refusal.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=decide, args=(command,)) for command in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    alice_tab.wait_for("turn.finished")
    taken = ToolRun.objects.get().decision
    assert sorted(codes) == sorted([taken] * 4 + ["call_decided"] * 4), "the same word again is harmless"
    assert outside.num_effects("sign") == (taken == "approved")


def test_the_same_word_again_is_harmless_while_the_call_is_under_way(
    waiting: Turn, alice_tab: Tab, alice: User, outside: Ledger
) -> None:
    approved, refused = say(waiting, "approved"), say(waiting, "refused")
    steering.decide_call(alice, approved)
    alice_tab.wait_for("turn.finished")
    ToolRun.objects.update(state=ToolRun.State.BEGUN)
    assert steering.decide_call(alice, approved).decision == "approved"
    assert refusal_of(lambda: steering.decide_call(alice, refused)) == "call_decided"


def test_a_call_that_has_changed_since_it_was_shown_is_not_approved(
    waiting: Turn, alice_tab: Tab, alice: User, bob: User, outside: Ledger
) -> None:
    other = say(waiting, "approved", arguments='{"text": "I agree to all."}')
    assert refusal_of(lambda: steering.decide_call(alice, other)) == "call_changed"
    old = say(waiting, "approved")
    assert refusal_of(lambda: steering.decide_call(bob, old)) == "unknown_conversation"
    steering.decide_call(alice, say(waiting, "approved", edited='{"text": "I object."}'))
    assert refusal_of(lambda: steering.decide_call(alice, old)) == "call_decided"
    alice_tab.wait_for("turn.finished")
    assert outside.num_effects("sign") == 1


@pytest.mark.parametrize(
    ("decision", "more", "code"),
    [
        ("answered", {"answer": "yes"}, "bad_decision"),
        ("happened", {}, "bad_decision"),
        ("refused", {"edited": "{}"}, "bad_decision"),
        ("approved", {"edited": "[1]"}, "bad_arguments"),
        ("approved", {"edited": "{"}, "bad_arguments"),
    ],
)
def test_what_cannot_be_said_to_a_call_changes_nothing(waiting: Turn, alice, decision, more, code) -> None:
    assert refusal_of(lambda: steering.decide_call(alice, say(waiting, decision, **more))) == code
    run = waiting.tool_runs.get()
    assert (run.state, run.decision) == ("waiting", "")


def test_after_a_strangers_text_an_effect_waits_for_the_person_and_before_it_not(
    alice_tab: Tab, script: WriteScript, alice: User, outside: Ledger
) -> None:
    replies = [
        f"call: {call}" for call in ('wire {"to": "bob"}', 'gazette {"page": 1}', 'wire {"to": "eve"}')
    ]
    steps = [Reply(step=number, lines=(line,)) for number, line in enumerate(replies, start=1)]
    turn = wait_at(alice_tab, script, *steps, Reply(step=4, lines=("text: Done.",)))
    assert outside.num_effects("wire") == 1
    steering.decide_call(alice, say(turn, "refused"))
    alice_tab.wait_for("turn.finished")
    assert outside.num_effects("wire") == 1

    later = alice_tab.start("And now?", long_thinking=True, conversation=str(turn.conversation_id))
    alice_tab.wait_for("turn.waiting", where=lambda frame: frame["turn"] == later)
    assert outside.num_effects("wire") == 1, "what an earlier turn has read is read"


def test_what_a_search_found_is_opened_however_many_workers_later_and_what_the_model_made_up_is_not(
    alice_tab: Tab, script: WriteScript, outside: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "TURN_SEGMENT_STEPS", 1)
    made_up = f"https://found.example/collect?d={ALICE}"
    calls = (
        'find {"words": "now"}',
        "calculate {}",
        f'read {{"url": "{FOUND}"}}',
        f'read {{"url": "{made_up}"}}',
    )
    steps = [Reply(step=number, lines=(f"call: {call}",)) for number, call in enumerate(calls, start=1)]
    turn = wait_at(alice_tab, script, *steps, Reply(step=5, lines=("text: Done.",)))
    assert outside.num_effects("read") == 1
    assert made_up in turn.tool_runs.get(state="waiting").prompt


def test_what_the_person_granted_at_the_start_is_not_asked_again(
    alice_tab: Tab, script: WriteScript, outside: Ledger
) -> None:
    steps = [
        Reply(step=1, lines=('call: gazette {"page": 1}',)),
        Reply(step=2, lines=('call: wire {"to": "bob"}',)),
    ]
    script(*steps, Reply(step=3, lines=("text: Done.",)))
    terms = {"granted": [{"tool": "wire", "arguments": {"to": "bob"}}]}
    frames = alice_tab.ask("Wire it.", long_thinking=True, tools=terms)
    assert "turn.waiting" not in frames.kinds
    assert outside.num_effects("wire") == 1


def test_a_question_of_the_model_waits_for_the_persons_answer(
    alice_tab: Tab, script: WriteScript, alice: User
) -> None:
    question = 'call: ask_user {"question": "Which one?", "choices": ["red", "blue"]}'
    turn = wait_at(
        alice_tab, script, Reply(step=1, lines=(question,)), Reply(step=2, lines=("text: Thank you.",))
    )
    run = turn.tool_runs.get()
    assert (run.waiting_for, run.prompt) == ("answer", "Which one?")
    assert (
        refusal_of(lambda: steering.decide_call(alice, say(turn, "answered", answer=" "))) == "empty_answer"
    )
    steering.decide_call(alice, say(turn, "answered", answer="green"))
    alice_tab.wait_for("turn.finished")
    assert result_of(turn) == "green"
    assert Message.objects.filter(turn=turn, role="assistant").count() == 2


def test_a_plan_that_the_person_changes_is_what_the_model_reads_next(
    alice_tab: Tab, script: WriteScript, alice: User
) -> None:
    plan = 'call: plan {"lines": [{"text": "Guess."}]}'
    question = 'call: ask_user {"question": "Is this plan right?"}'
    steps = [Reply(step=number, lines=(line,)) for number, line in enumerate((plan, question), start=1)]
    turn = wait_at(alice_tab, script, *steps, Reply(step=3, lines=("text: Done.",)))
    items = [PlanLine(text="Measure.", phase="gather", status="doing"), PlanLine(text="Write.")]
    bad = PlanEdit(turn=str(turn.id), items=[PlanLine(text=" ")])
    assert refusal_of(lambda: steering.edit_plan(alice, bad)) == "bad_plan"
    steering.edit_plan(alice, PlanEdit(turn=str(turn.id), items=items))
    steering.decide_call(alice, say(turn, "answered", answer="Now it is."))
    alice_tab.wait_for("turn.finished")
    assert [item.text for item in turn.plan_items.all()] == ["Measure.", "Write."]
    note = Message.objects.get(turn=turn, role="note", kind="plan")
    assert "Measure." in note.parts.get().text
    late = PlanEdit(turn=str(turn.id), items=items)
    assert refusal_of(lambda: steering.edit_plan(alice, late)) == "turn_finished"
