"""A long turn over HTTP, killed at, and many turns that wait: the short versions of `make faults`."""

from collections.abc import Iterator

import pytest

from tests.faults import kill_run, waiting_run
from tests.faults.kill_run import Size
from tests.faults.rig import Manner, Rig

pytestmark = [pytest.mark.faults, pytest.mark.slow]

SIZE = Size(steps=50, kills=3)
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    rig = Rig(tmp_path_factory.mktemp("rig"), Manner(latency_ms=60))
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()


def test_a_turn_that_is_killed_at_loses_no_step_and_repeats_no_effect(rig: Rig) -> None:
    runs = kill_run.all_runs(rig, SIZE, SEEDS)
    shown = kill_run.table(runs, title=f"sqlite: {SIZE}")
    assert [fault for one in runs for fault in one.faults] == [], shown
    assert sum(len(one.kills) for one in runs) == len(SEEDS) * SIZE.kills


def test_turns_that_wait_for_a_person_hold_nothing_and_all_go_on_after_a_restart(rig: Rig) -> None:
    waited = waiting_run.run(rig, turns=15)
    assert (waited.leased, waited.claims_while_waiting) == (0, 0), str(waited)
    assert (waited.finished, waited.effects, waited.doubled) == (15, 15, 0), str(waited)
