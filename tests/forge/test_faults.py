"""Each fault of a model or its provider, met by a whole turn over HTTP: the turn gets over it, the person
sees one answer, and it costs what was used."""

import pytest

from chat.models import Message, Turn
from inference.backends import openai_compatible
from tests.forge.conftest import Forge
from tests.loopforge.ledger import Ledger
from tests.loopforge.server import MODEL
from tests.services import wait_until
from tests.turn.browser import Frames, Tab
from webapp.billing.models import UsageRecord
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = 3
# Nothing of these remains: the call is made again, or its words are mended.
PASSING = ("busy@2x2", "fails@2", "cut@2", "empty@2", "thinking@2")
MENDED = ("trailing@2", "stringified@2", "fenced@2", "duplicate_ids@2", "foreign_ids@2", "no_ids@2")
TOLD = ("malformed@2", "wrong_types@2", "missing@2", "unknown_tool@2")


@pytest.fixture(autouse=True)
def _served(forge_model: ServedModel) -> None:
    """Every turn here is answered by LoopForge."""


def go(tab: Tab, faults: str = "", *, steps: int = STEPS, tools: str = "calculate") -> Frames:
    words = f"Go. forge: steps={steps} tools={tools} faults={faults} "
    # As long with faults as without: the question is paid for, too.
    return tab.ask(words.ljust(400, "."), model=MODEL, long_thinking=True, effort="high")


def answer_of(frames: Frames) -> str:
    assert frames[-1]["finish_reason"] == "stop", frames[-1]
    turn = Turn.objects.get(id=frames[-1]["turn"])
    last = turn.messages.filter(role=Message.Role.ASSISTANT).order_by("step").last()
    assert last is not None
    return "".join(part.text for part in last.parts.filter(kind="text"))


def cost_of(frames: Frames) -> int:
    """What was charged, once, and that it is what is stored."""
    turn = Turn.objects.get(id=frames[-1]["turn"])
    bill = UsageRecord.objects.get(hold=turn.hold)
    stored = sum(turn.messages.values_list("output_tokens", flat=True))
    assert bill.output_tokens == stored > 0
    return bill.cost_nano


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_leaves_no_trace_in_the_answer_or_the_bill(fault: str, alice_tab: Tab) -> None:
    clean, struck = go(alice_tab), go(alice_tab, fault)
    assert answer_of(struck) == answer_of(clean)
    if fault not in ("empty@2", "thinking@2"):  # those replies came, and are paid for
        assert cost_of(struck) == cost_of(clean)
    assert [frame["is_error"] for frame in struck.of("tool_call.finished")] == [False] * STEPS


@pytest.mark.parametrize("fault", MENDED)
def test_words_that_can_be_mended_are_and_the_call_runs(fault: str, alice_tab: Tab) -> None:
    clean, struck = go(alice_tab), go(alice_tab, fault)
    assert answer_of(struck) == answer_of(clean)
    ended = struck.of("tool_call.finished")
    assert [frame["is_error"] for frame in ended] == [False] * STEPS
    ids = [frame["id"] for frame in ended]
    assert ids == [f"functions.calculate:{number}" for number in range(STEPS)]


@pytest.mark.parametrize("fault", TOLD)
def test_words_that_cannot_be_mended_are_told_to_the_model_which_tries_again(
    fault: str, alice_tab: Tab
) -> None:
    clean, struck = go(alice_tab), go(alice_tab, fault)
    assert answer_of(struck) == answer_of(clean)
    ended = struck.of("tool_call.finished")
    assert [frame["is_error"] for frame in ended] == [False, True, False, False]
    assert len(ended[1]["result"]) < 500
    assert cost_of(struck) > cost_of(clean)


def test_several_faults_in_one_turn_add_up_to_the_same_answer(alice_tab: Tab) -> None:
    every = ",".join(f"{name.partition('@')[0]}@{step}" for step, name in enumerate((*TOLD, *MENDED), 1))
    num_steps = len(TOLD) + len(MENDED)
    assert answer_of(go(alice_tab, every, steps=num_steps)) == answer_of(go(alice_tab, steps=num_steps))


def test_a_stream_that_falls_silent_is_given_up_and_asked_again(
    alice_tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_compatible, "_SILENCE_S", 1.0)
    clean, struck = go(alice_tab), go(alice_tab, "stalls@2")
    assert answer_of(struck) == answer_of(clean)


def test_a_prompt_that_is_too_long_for_the_provider_is_shortened(alice_tab: Tab) -> None:
    clean, struck = go(alice_tab), go(alice_tab, "overflow@3")
    assert answer_of(struck) == answer_of(clean)


def test_a_provider_that_always_fails_ends_the_turn_with_what_there_is(alice_tab: Tab) -> None:
    struck = go(alice_tab, "fails@3x99")
    assert struck[-1]["finish_reason"] == "error"
    assert "127.0.0.1 failed (500)" in struck[-1]["error"]
    assert len(struck.of("tool_call.finished")) == 2
    assert cost_of(struck) > 0


@pytest.mark.parametrize("fault", ["quota@2", "unpaid@2"])
def test_an_empty_quota_parks_the_turn_which_goes_on_when_it_is_woken(
    fault: str, alice_tab: Tab, forge: Forge
) -> None:
    from chat import turns

    turn = alice_tab.start(
        f"Go. forge: steps={STEPS} faults={fault}", model=MODEL, long_thinking=True, effort="high"
    )
    waiting = alice_tab.wait_for("turn.waiting")
    assert waiting["waiting_for"] == "quota"
    # Said, then parked: the row follows the event.
    wait_until(
        lambda: Turn.objects.get(id=turn).status == Turn.Status.WAITING,
        within_s=20,
        what="the turn is parked",
    )
    turns.wake(Turn.objects.get(id=turn).id)
    end = alice_tab.wait_for("turn.finished")
    assert end["finish_reason"] == "stop"


def test_a_tool_that_brings_two_megabytes_leaves_a_short_result_and_the_whole_as_an_artifact(
    alice_tab: Tab, world: Ledger, forge: Forge
) -> None:
    frames = go(alice_tab, steps=2, tools="flood")
    assert answer_of(frames)
    turn = Turn.objects.get(id=frames[-1]["turn"])
    assert all(len(frame["result"]) < 50_000 for frame in frames.of("tool_call.finished"))
    assert max(asked.prompt_tokens for asked in forge.app.asked) < 50_000
    assert [len(artifact.text) > 1_900_000 for artifact in turn.artifacts.all()] == [True, True]


def test_a_tool_that_fails_is_told_to_the_model_and_works_when_it_is_called_again(
    alice_tab: Tab, world: Ledger
) -> None:
    frames = go(alice_tab, "repeated@1x2", steps=1, tools="stumble")
    assert [frame["is_error"] for frame in frames.of("tool_call.finished")] == [True, True, False]
    assert answer_of(frames).startswith("Done after 1 of 1")


def test_a_tool_that_never_returns_is_stopped_in_its_time(alice_tab: Tab, world: Ledger) -> None:
    frames = go(alice_tab, steps=1, tools="hang_briefly")
    [ended] = frames.of("tool_call.finished")
    assert (ended["is_error"], ended["duration_ms"] < 3_000) == (True, True)
    assert world.num_effects("hang_briefly") == 1, "the tool was told of its end"


def test_a_model_that_repeats_itself_is_warned_then_made_to_answer(alice_tab: Tab, world: Ledger) -> None:
    frames = go(alice_tab, "repeated@2x40", steps=3, tools="look")
    levels = [frame["data"]["level"] for frame in frames.of("note.added") if frame["kind"] == "guard"]
    assert levels == ["advise", "check", "text_only"]
    assert frames[-1]["finish_reason"] == "stop"
    assert len(frames.of("tool_call.finished")) == 9
