"""A stop takes effect at once, whatever the turn is doing. How soon is printed; `tests.load` measures it."""

import time
from collections.abc import Callable, Iterator

import pytest

from chat.models import Turn
from tests.forge.conftest import Forge, with_manner
from tests.loopforge.ledger import Ledger
from tests.loopforge.server import MODEL
from tests.services import wait_until
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from webapp.accounts.models import User
from webapp.billing.models import Hold

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("forge_model")]

MOST_S = 20.0  # what a turn would still do takes a minute; a busy machine may take its time to stop it
Note = Callable[[float], None]


@pytest.fixture(scope="module")
def latencies(request: pytest.FixtureRequest) -> Iterator[dict[str, float]]:
    """Told when all have been measured."""
    measured: dict[str, float] = {}
    yield measured
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
    if reporter is None or capture is None:
        return
    with capture.global_and_fixture_disabled():
        reporter.write_line("\nfrom a stop to the turn's last event:")
        for phase, seconds in measured.items():
            reporter.write_line(f"  {phase:<45} {seconds:.2f} s")


@pytest.fixture
def note(latencies: dict[str, float], request: pytest.FixtureRequest) -> Note:
    phase = request.node.name.removeprefix("test_").replace("_", " ")
    return lambda seconds: latencies.update({phase: seconds})


def begin(tab: Tab, words: str) -> str:
    return tab.start(f"Go. forge: {words}", model=MODEL, long_thinking=True, effort="high")


def stop(tab: Tab, turn: str, note: Note) -> float:
    """How many seconds after the stop the turn had ended."""
    began = time.perf_counter()
    tab.send("turn.stop", turn=turn)
    end = tab.wait_for("turn.finished")
    seconds = time.perf_counter() - began
    note(seconds)
    assert end["finish_reason"] == "cancelled"
    assert Turn.objects.get(id=turn).status == Turn.Status.FINISHED
    assert Hold.objects.filter(status=Hold.Status.OPEN).count() == 0
    return seconds


def test_while_the_model_streams(alice_tab: Tab, forge: Forge, note: Note) -> None:
    with_manner(forge, pace_ms=300)
    turn = begin(alice_tab, "steps=9 words=200")
    alice_tab.wait_for("reasoning.delta")
    assert stop(alice_tab, turn, note) < MOST_S


def test_while_the_model_is_silent(alice_tab: Tab, note: Note) -> None:
    turn = begin(alice_tab, "steps=9 faults=stalls@2")
    alice_tab.wait_for("reasoning.delta", where=lambda frame: frame["step"] == 2)
    assert stop(alice_tab, turn, note) < MOST_S


def test_before_the_model_has_said_anything(alice_tab: Tab, forge: Forge, note: Note) -> None:
    with_manner(forge, latency_ms=30_000)
    turn = begin(alice_tab, "steps=9")
    alice_tab.wait_for("step.started")
    assert stop(alice_tab, turn, note) < MOST_S


def test_while_the_provider_is_away(alice_tab: Tab, note: Note) -> None:
    turn = begin(alice_tab, "steps=9 faults=fails@2x99")
    alice_tab.wait_for("step.started", where=lambda frame: frame["step"] == 2)
    assert stop(alice_tab, turn, note) < MOST_S


def test_inside_a_tool_that_never_ends(alice_tab: Tab, world: Ledger, note: Note) -> None:
    turn = begin(alice_tab, "steps=9 tools=hang")
    wait_until(lambda: world.num_attempts("hang") == 1, within_s=30, what="the tool's begin")
    assert stop(alice_tab, turn, note) < MOST_S
    assert world.num_effects("hang") == 1, "the tool was told of its end"


def test_while_a_person_is_waited_for(alice_tab: Tab, world: Ledger, note: Note) -> None:
    turn = begin(alice_tab, "steps=9 tools=publish")
    alice_tab.wait_for("turn.waiting")
    wait_until(
        lambda: Turn.objects.get(id=turn).status == Turn.Status.WAITING, within_s=30, what="the turn to wait"
    )
    assert stop(alice_tab, turn, note) < MOST_S
    assert world.num_effects("publish") == 0


def test_between_two_segments(alice_tab: Tab, note: Note, settings: object, forge: Forge) -> None:
    settings.TURN_SEGMENT_STEPS = 1  # type: ignore[attr-defined]
    turn = begin(alice_tab, "steps=200")
    alice_tab.wait_for("step.started", where=lambda frame: frame["step"] == 7)
    assert stop(alice_tab, turn, note) < MOST_S


def test_while_nobody_has_taken_the_turn(open_tab: OpenTab, alice: User, note: Note) -> None:
    tab = open_tab(alice)
    assert stop(tab, begin(tab, "steps=9"), note) < MOST_S
