"""Many turns that wait for a person: they cost nothing while they wait, and all go on after a full restart.

`python -m tests.faults.waiting_run --turns 500` shows it on a platform of its own.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.rig import Manner, Rig
from tests.services import wait_until

QUESTION = "Go. forge: steps=1 tools=publish"
WATCH_S = 5.0
MOST_CPU = 0.25  # of one core, for sweep, heartbeat and beat, whatever the number of waiting turns


@dataclass(frozen=True, kw_only=True)
class Waited:
    """`cpu_share` is what all Celery processes together took of a core while everything waited."""

    turns: int
    until_all_wait_s: float
    leased: int
    claims_while_waiting: int
    cpu_share: float
    restart_s: float
    until_all_finished_s: float
    finished: int
    effects: int
    doubled: int

    @property
    def is_good(self) -> bool:
        held = self.leased or self.claims_while_waiting or self.cpu_share > MOST_CPU
        return not held and self.finished == self.effects == self.turns and not self.doubled

    def __str__(self) -> str:
        return (
            f"{self.turns} turns wait after {self.until_all_wait_s:.1f} s; then {self.leased} leases, "
            f"{self.claims_while_waiting} claims, {100 * self.cpu_share:.0f} % of a core in all Celery "
            f"processes; full restart {self.restart_s:.1f} s; approved, {self.finished} finished "
            f"{self.until_all_finished_s:.1f} s later with {self.effects} effects, {self.doubled} doubled"
        )


def run(rig: Rig, *, turns: int, name: str = "waiter") -> Waited:
    rig.inside("person", name)
    began = time.monotonic()
    rig.inside("submit", name, str(turns), QUESTION)
    _wait(rig, name, "waiting", turns)
    waited_s = time.monotonic() - began
    before, cpu = rig.inside("states", name), rig.cpu_seconds()
    time.sleep(WATCH_S)  # nothing is waited for here: a span of time is what is measured
    cpu_share = (rig.cpu_seconds() - cpu) / WATCH_S
    after = rig.inside("states", name)
    began = time.monotonic()
    rig.restart_everything()
    restart_s = time.monotonic() - began
    rig.inside("approve", name)
    began = time.monotonic()
    _wait(rig, name, "finished", turns)
    tally = rig.ledger.tally()
    return Waited(
        turns=turns,
        until_all_wait_s=waited_s,
        leased=after["leased"],
        claims_while_waiting=after["claims"] - before["claims"],
        cpu_share=cpu_share,
        restart_s=restart_s,
        until_all_finished_s=time.monotonic() - began,
        finished=rig.inside("states", name)["ends"].get("stop", 0),
        effects=rig.ledger.num_effects("publish"),
        doubled=tally.doubled,
    )


def _wait(rig: Rig, name: str, status: str, turns: int) -> None:
    """Until all turns are in that status; asked seldom, for asking takes a process of its own."""

    def all_are() -> bool:
        return int(rig.inside("states", name)["statuses"].get(status, 0)) == turns

    wait_until(all_are, within_s=60 + turns, what=f"{turns} turns to be {status}", every_s=2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=500)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waiting-") as folder:
        rig = Rig(Path(folder), Manner(database=chosen.database, latency_ms=0))
        try:
            rig.start()
            waited = run(rig, turns=chosen.turns)
        finally:
            rig.stop()
    sys.stdout.write(f"{chosen.database}: {waited}\n")
    return 0 if waited.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
