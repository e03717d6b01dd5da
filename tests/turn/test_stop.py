"""A stop ends the model's stream at once, in whatever phase the turn is, and keeps what was shown."""

import time
from collections.abc import Callable

import pytest

from chat import history
from chat.models import Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from webapp.accounts.models import User
from webapp.billing.models import Hold, UsageRecord

pytestmark = pytest.mark.django_db(transaction=True)
WITHIN_S = 15.0  # this machine may be busy; that it is 300 ms, `python -m tests.load stopping` shows

PHASES = {
    "before the first token": (("stall:",), "step.started"),
    "reasoning": (("think: let me think", "stall:"), "reasoning.delta"),
    "content": (("think: hm", "text: so far so", "stall:"), "content.delta"),
    "between tries": (("error: unavailable Nobody is there.",), "step.started"),
}


def stop(tab: Tab, turn: str) -> float:
    """Stop the turn: how many seconds later its last frame came."""
    began = time.perf_counter()
    tab.send("turn.stop", turn=turn)
    finished = tab.wait_for("turn.finished")
    assert finished["finish_reason"] == "cancelled"
    return time.perf_counter() - began


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_takes_effect_at_once(
    alice_tab: Tab, script: WriteScript, phase: str, record_property: Callable[[str, object], None]
) -> None:
    lines, waits_for = PHASES[phase]
    script(*lines)
    turn = alice_tab.start("Go on for ever.", long_thinking=True)
    alice_tab.wait_for(waits_for)
    seconds = stop(alice_tab, turn)
    record_property("seconds", seconds)
    assert seconds < WITHIN_S
    view = history.turn_view(Turn.objects.get())
    shown = alice_tab.of_turn(turn)
    assert view.answer == shown.text_of("content.delta")
    assert "".join(step.reasoning for step in view.steps) == shown.text_of("reasoning.delta")


def test_a_queued_turn_is_stopped_although_no_worker_runs(
    open_tab: OpenTab, alice: User, record_property: Callable[[str, object], None]
) -> None:
    tab = open_tab(alice)
    seconds = stop(tab, tab.start("Nobody hears me."))
    record_property("seconds", seconds)
    assert seconds < WITHIN_S
    assert Hold.objects.get().status == Hold.Status.RELEASED
    assert not UsageRecord.objects.exists()


def test_a_stop_after_tools_keeps_their_results(alice_tab: Tab, script: WriteScript) -> None:
    script(
        Reply(step=1, lines=("text: First: ", 'call: calculate {"expression": "6 * 7"}')),
        Reply(step=2, lines=("text: then", "stall:")),
    )
    turn = alice_tab.start("Calculate.", long_thinking=True)
    alice_tab.wait_for("content.delta", where=lambda frame: frame["step"] == 2)
    stop(alice_tab, turn)
    view = history.turn_view(Turn.objects.get())
    assert view.steps[0].tool_calls[0].result == "42"
    assert view.answer == "First: then"


def test_what_a_stopped_turn_used_is_billed_as_an_estimate(alice_tab: Tab, script: WriteScript) -> None:
    script("text: eight letters", "stall:")
    turn = alice_tab.start("Hello")
    alice_tab.wait_for("content.delta")
    stop(alice_tab, turn)
    record = UsageRecord.objects.get()
    assert record.is_estimated
    assert record.finish_reason == "cancelled"
    assert record.output_tokens > 0


def test_a_stop_of_a_finished_turn_is_harmless(alice_tab: Tab, script: WriteScript) -> None:
    script("text: done")
    turn = alice_tab.ask("Hello")[0]["turn"]
    alice_tab.send("turn.stop", turn=turn)
    alice_tab.send("ping")
    alice_tab.wait_for("pong")
    assert Turn.objects.get().finish_reason == "stop"


def test_a_turn_goes_on_when_its_page_is_closed(
    alice_tab: Tab, open_tab: OpenTab, alice: User, script: WriteScript
) -> None:
    script("text: one", "wait: 0.3", "text:  two")
    turn = alice_tab.start("Count.")
    alice_tab.wait_for("content.delta")
    alice_tab.close()
    phone = open_tab(alice)
    phone.send("turn.attach", turn=turn)
    phone.wait_for("turn.finished")
    assert phone.frames.text_of("content.delta") == "one two"
