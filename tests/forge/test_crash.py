"""A worker dies inside a tool: what may be run again is, under the same key; what may not is looked up, or a
person is asked. No effect happens twice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chat.models import ToolRun
from tests.loopforge import tools
from tests.loopforge.ledger import Ledger
from tests.loopforge.server import MODEL
from tests.services import wait_until
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from tests.turn.test_resume import sweep_until
from tests.turn.worker import WorkerProcess
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.slow]

WITHIN_S = 60.0


@dataclass
class Crash:
    """A worker that is killed inside the tools of several turns at once, and the next one."""

    user: User
    tab: Tab
    world: Ledger
    start_worker: Callable[[], WorkerProcess]

    def inside(self, *called: str, is_done: bool) -> list[str]:
        """Killed before the tools' effects, or after them; the turns, which another worker goes on with."""
        doomed = self.start_worker()
        turns = []
        for tool in called:
            words = f"Go. forge: steps=1 tools={tool}"
            turns.append(self.tab.start(words, model=MODEL, long_thinking=True, effort="high"))
        wait_until(lambda: self._are_inside(called, is_done), within_s=WITHIN_S, what="the tools to be run")
        doomed.kill()
        self.start_worker()
        return turns

    def _are_inside(self, called: Sequence[str], is_done: bool) -> bool:
        count = self.world.num_effects if is_done else self.world.num_attempts
        return all(count(tool) == called.count(tool) for tool in called)

    def wait_for(self, kind: str, turns: Sequence[str]) -> list[dict[str, Any]]:
        """The event of this kind of each turn."""

        def found() -> dict[str, dict[str, Any]]:
            return {frame["turn"]: frame for frame in self.tab.frames.of(kind)}

        sweep_until(lambda: set(turns) <= set(found()), within_s=WITHIN_S)
        return [found()[turn] for turn in turns]


@pytest.fixture
def crash(
    open_tab: OpenTab,
    alice: User,
    forge_model: ServedModel,
    world: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Crash]:
    monkeypatch.setenv(tools.DELAY_MS, "1200")  # long enough to be killed in
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    workers: list[WorkerProcess] = []

    def start_worker() -> WorkerProcess:
        workers.append(WorkerProcess())
        return workers[-1]

    yield Crash(user=alice, tab=open_tab(alice), world=world, start_worker=start_worker)
    for worker in workers:
        worker.stop()


def test_calls_whose_worker_died_after_their_effect_have_it_once(crash: Crash) -> None:
    turns = crash.inside("order", "post", is_done=True)
    ends = crash.wait_for("turn.finished", turns)
    assert {end["finish_reason"] for end in ends} == {"stop"}
    assert (crash.world.num_attempts("order"), crash.world.num_effects("order")) == (2, 1)
    assert (crash.world.num_attempts("post"), crash.world.num_effects("post")) == (1, 1)


def test_effects_that_had_not_happened_are_made_once(crash: Crash) -> None:
    turns = crash.inside("look", "order", "post", is_done=False)
    ends = crash.wait_for("turn.finished", turns)
    assert {end["finish_reason"] for end in ends} == {"stop"}
    # On a busy machine a lease may end early and a call be tried once more: its key keeps the effect one.
    for tool in ("post", "order"):
        assert crash.world.num_attempts(tool) >= 2
        assert crash.world.num_effects(tool) == 1
    assert crash.world.num_attempts("look") >= 2


def test_a_person_is_asked_what_nobody_else_can_know(crash: Crash) -> None:
    turns = crash.inside("pay", "pay", "pay", is_done=True)
    asked = crash.wait_for("turn.waiting", turns)
    assert {frame["waiting_for"] for frame in asked} == {"outcome"}
    assert crash.world.num_attempts("pay") == 3
    for turn, said, frame in zip(turns, ("happened", "approved", "refused"), asked, strict=True):
        [call] = frame["calls"]
        words = {"decision": said, "arguments": call["arguments"]}
        crash.tab.send("call.decide", turn=turn, call=call["call_id"], **words)
    ends = crash.wait_for("turn.finished", turns)
    assert {end["finish_reason"] for end in ends} == {"stop"}
    results = crash.wait_for("tool_call.finished", turns)
    assert [frame["is_error"] for frame in results] == [False, False, True]
    assert crash.world.num_effects("pay") == 4, "only where a person said so it is run again"
    assert set(ToolRun.objects.values_list("decided_by", flat=True)) == {crash.user.pk}
