"""A worker dies inside a tool: what may be run again is, under the same key; what may not is looked up, or a
person is asked. No effect happens twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chat.models import ToolRun, Turn
from tests.loopforge import tools
from tests.loopforge.ledger import Ledger
from tests.loopforge.server import MODEL
from tests.services import wait_until
from tests.turn.browser import Frames, Tab
from tests.turn.conftest import OpenTab
from tests.turn.test_resume import sweep_until
from tests.turn.worker import WorkerProcess
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

WITHIN_S = 30.0


@dataclass
class Crash:
    """A worker that is killed inside a tool, and the next one."""

    tab: Tab
    world: Ledger
    start_worker: Callable[[], WorkerProcess]

    def inside(self, tool: str, *, is_done: bool) -> str:
        """Killed before the tool's effect, or after it; the turn, which another worker goes on with."""
        doomed = self.start_worker()
        words = f"Go. forge: steps=1 tools={tool}"
        turn = self.tab.start(words, model=MODEL, long_thinking=True, effort="high")
        count = self.world.num_effects if is_done else self.world.num_attempts
        wait_until(lambda: count(tool) == 1, within_s=WITHIN_S, what=f"{tool} to be run")
        doomed.kill()
        self.start_worker()
        return turn

    def wait_for(self, kind: str) -> Frames:
        sweep_until(lambda: bool(self.tab.frames.of(kind)), within_s=WITHIN_S)
        return self.tab.frames


@pytest.fixture
def crash(
    open_tab: OpenTab,
    alice: User,
    forge_model: ServedModel,
    world: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Crash]:
    monkeypatch.setenv(tools.DELAY_MS, "700")  # long enough to be killed in
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    workers: list[WorkerProcess] = []

    def start_worker() -> WorkerProcess:
        workers.append(WorkerProcess())
        return workers[-1]

    yield Crash(tab=open_tab(alice), world=world, start_worker=start_worker)
    for worker in workers:
        worker.stop()


@pytest.mark.parametrize(
    ("tool", "attempts", "effects"),
    [("look", 2, 0), ("order", 2, 1), ("post", 1, 1)],
)
def test_a_call_whose_worker_died_after_its_effect_has_it_once(
    tool: str, attempts: int, effects: int, crash: Crash
) -> None:
    crash.inside(tool, is_done=effects > 0)
    end = crash.wait_for("turn.finished")[-1]
    assert end["finish_reason"] == "stop"
    assert crash.world.num_attempts(tool) == attempts
    assert crash.world.num_effects(tool) == effects


def test_an_effect_that_had_not_happened_is_made_after_it_was_looked_up(crash: Crash) -> None:
    crash.inside("post", is_done=False)
    assert crash.wait_for("turn.finished")[-1]["finish_reason"] == "stop"
    assert (crash.world.num_attempts("post"), crash.world.num_effects("post")) == (2, 1)


@pytest.mark.parametrize(
    ("said", "effects", "is_error"), [("happened", 1, False), ("approved", 2, False), ("refused", 1, True)]
)
def test_a_person_is_asked_what_nobody_else_can_know(
    said: str, effects: int, is_error: bool, crash: Crash
) -> None:
    turn = crash.inside("pay", is_done=True)
    [asked] = crash.wait_for("turn.waiting").of("turn.waiting")
    [call] = asked["calls"]
    assert (asked["waiting_for"], call["tool"]) == ("outcome", "pay")
    assert crash.world.num_attempts("pay") == 1
    wait_until(
        lambda: Turn.objects.get(id=turn).status == Turn.Status.WAITING,
        within_s=WITHIN_S,
        what="the turn to wait",
    )
    words = {"decision": said, "arguments": call["arguments"]}
    crash.tab.send("call.decide", turn=turn, call=call["call_id"], **words)
    end = crash.wait_for("turn.finished")
    assert end[-1]["finish_reason"] == "stop"
    assert [frame["is_error"] for frame in end.of("tool_call.finished")] == [is_error]
    assert crash.world.num_effects("pay") == effects, "only a person who said so has it run again"
    assert ToolRun.objects.get().decided_by is not None
