"""Many turns at once with a model that takes its time: how much of the ideal throughput is reached.

`python -m tests.faults.crowd --turns 25 --latency-ms 200` measures it on a platform of its own; the last line
is JSON.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.rig import Manner, Rig
from tests.services import wait_until

BEGINNING = 3  # steps of each turn until all of them run


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Steps a second of all turns together while all of them run, and what the model alone would allow."""

    turns: int
    latency_ms: int
    steps_per_s: float
    ideal_per_s: float
    share: float
    worker_cpu_ms_per_step: float
    model_cpu_ms_per_step: float
    database: str


def run_many(*, turns: int = 25, steps: int = 40, latency_ms: int = 200, database: str = "sqlite") -> Crowd:
    """On a platform of its own, which is started and ended."""
    with tempfile.TemporaryDirectory(prefix="crowd-") as folder:
        rig = Rig(Path(folder), Manner(database=database, latency_ms=latency_ms))
        try:
            rig.start()
            return _measure(rig, turns=turns, steps=steps, latency_ms=latency_ms, database=database)
        finally:
            rig.stop()


def _measure(rig: Rig, *, turns: int, steps: int, latency_ms: int, database: str) -> Crowd:
    rig.inside("person", "crowd")
    rig.inside("submit", "crowd", str(turns), f"Go. forge: steps={steps} tools=calculate")
    within_s = 60 + 3 * steps * latency_ms / 1000
    _wait_for(rig, BEGINNING * turns, within_s=within_s)
    cpu, forge_cpu, begun = rig.cpu_seconds(), rig.forge.cpu_seconds(), rig.forge.num_asked()
    _wait_for(rig, (steps + 1 - BEGINNING) * turns, within_s=within_s)
    cpu, forge_cpu = rig.cpu_seconds() - cpu, rig.forge.cpu_seconds() - forge_cpu
    num_steps = rig.forge.num_asked() - begun
    wait_until(
        lambda: rig.forge.num_asked() >= turns * (steps + 1), within_s=within_s, what="all steps", every_s=0.5
    )
    reached = steady_rate([float(asked["at"]) for asked in rig.forge.asked()], turns=turns)
    ideal = turns * 1000 / max(latency_ms, 1)
    return Crowd(
        turns=turns,
        latency_ms=latency_ms,
        steps_per_s=round(reached, 2),
        ideal_per_s=ideal,
        share=round(reached / ideal, 4),
        worker_cpu_ms_per_step=round(1000 * cpu / num_steps, 2),
        model_cpu_ms_per_step=round(1000 * forge_cpu / num_steps, 2),
        database=database,
    )


def _wait_for(rig: Rig, num_asked: int, *, within_s: float) -> None:
    wait_until(
        lambda: rig.forge.num_asked() >= num_asked, within_s=within_s, what=f"step {num_asked}", every_s=0.2
    )


def steady_rate(arrivals: Sequence[float], *, turns: int) -> float:
    """Requests a second, without the beginning and the end, when not all turns run."""
    ordered = sorted(arrivals)
    first, last = BEGINNING * turns, len(ordered) - BEGINNING * turns
    return (last - first) / (ordered[last] - ordered[first])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--latency-ms", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    chosen = parser.parse_args()
    crowd = run_many(
        turns=chosen.turns, steps=chosen.steps, latency_ms=chosen.latency_ms, database=chosen.database
    )
    sys.stdout.write(json.dumps(asdict(crowd)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
