"""Kill runs: a long turn end to end over HTTP while parts of the platform are killed, at moments that a seed
draws.

`python -m tests.faults.kill_run --database sqlite|postgres --seeds 20 --kills 10 --steps 300` runs them on a
platform of their own and prints the table; it fails unless nothing was lost, doubled or charged twice.
"""

import argparse
import math
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.reader import Heard, Reader
from tests.faults.rig import Manner, Rig, Target, draw_targets
from tests.loopforge.ledger import Tally
from tests.loopforge.server import MODEL

RESUME_GOAL_S = 5.0
RESUME_WITHIN_S = 60.0
SPARE_S = 3.0  # before the end, so that every kill is met by a turn that runs, the web process away or not
SHARE_OF_BLOWS = 0.2  # of the kills are followed by the next at once, while the platform gets up
BETWEEN_BLOWS_S = 1.5  # at most
OVERHEAD_MS = 15  # of a step, at least
PAUSE_S = 0.06  # at most, from the step's beginning to the kill: it may meet the model, a tool or a write
TOOLS = "look,keep,order,post"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How long the turn is and how often something is killed in it."""

    steps: int = 300
    calls: int = 2
    kills: int = 10


@dataclass(frozen=True, kw_only=True)
class Kill:
    target: Target
    at_step: int
    resume_s: float | None  # to the first event that is new; None where more was killed before it came


@dataclass(frozen=True, kw_only=True)
class Run:
    """One turn, and what was left of it. `faults` say what was not as it must be."""

    seed: int
    kills: tuple[Kill, ...]
    wall_s: float
    tally: Tally
    record: dict[str, Any] = field(repr=False)
    faults: tuple[str, ...] = ()


def person(rig: Rig, name: str) -> Reader:
    """Someone signed in, with money."""
    return Reader(rig.stack.url, cookie=rig.inside("person", name)["cookie"])


def question(size: Size, *, tools: str = TOOLS) -> str:
    return f"Go through it all. forge: steps={size.steps} calls={size.calls} tools={tools}"


def start(reader: Reader, text: str, *, max_steps: int = 1_000) -> str:
    """A Long Thinking turn whose limits are out of the way."""
    limits = {"max_steps": max_steps, "max_seconds": 7_200, "max_cost": "1000"}
    return reader.start(text, model=MODEL, long_thinking=True, effort="high", limits=limits)


def run(rig: Rig, reader: Reader, size: Size, *, seed: int | None, like: Run | None = None) -> Run:
    """One turn; with a seed, killed at; held against the undisturbed one."""
    began = time.monotonic()
    turn = start(reader, question(size))
    kills = () if seed is None else _kill(rig, reader, turn, size, seed)
    within_s = 60 + 0.5 * size.steps
    reader.wait_for(turn, is_end, within_s=within_s, what="the end of the turn")
    record = rig.inside("record", turn)
    tally = rig.ledger.tally(key_prefix=turn)
    return Run(
        seed=seed or 0,
        kills=kills,
        wall_s=time.monotonic() - began,
        tally=tally,
        record=record,
        faults=tuple(_faults(record, tally, size, like)),
    )


def is_end(heard: Heard) -> bool:
    return bool(heard.frame["type"] == "turn.finished")


def is_at(step: int, heard: Heard) -> bool:
    """The event, or the newest one of a snapshot, belongs to that step or a later one."""
    events = heard.frame.get("events") or [heard.frame]
    return bool(max(event.get("step", 0) for event in events) >= step)


def _kill(rig: Rig, reader: Reader, turn: str, size: Size, seed: int) -> tuple[Kill, ...]:
    draw = random.Random(f"kills {seed}")
    spare = math.ceil(SPARE_S * 1000 / (rig.manner.latency_ms + OVERHEAD_MS))
    steps = sorted(draw.sample(range(2, size.steps - spare), size.kills))
    kills: list[Kill] = []
    is_down = False
    for target, at_step in zip(draw_targets(rig, draw, size.kills), steps, strict=True):
        if not is_down:
            _wait_for_step(reader, turn, at_step, within_s=60 + 0.5 * size.steps)
            time.sleep(draw.uniform(0, PAUSE_S))
        is_down = len(kills) < size.kills - 1 and draw.random() < SHARE_OF_BLOWS
        if is_down:
            rig.kill(target)
            kills.append(Kill(target=target, at_step=at_step, resume_s=None))
            time.sleep(draw.uniform(0, BETWEEN_BLOWS_S))
        else:
            kills.append(_kill_one(rig, reader, turn, target, at_step))
    return tuple(kills)


def _wait_for_step(reader: Reader, turn: str, step: int, *, within_s: float) -> None:
    reader.wait_for(turn, lambda heard: is_at(step, heard), within_s=within_s, what=f"step {step}")


def _kill_one(rig: Rig, reader: Reader, turn: str, target: Target, at_step: int) -> Kill:
    known = max(rig.tail(turn), reader.last_seq(turn))
    killed_at = rig.kill(target)
    if target is not Target.WEB:
        # What was on its way, or needed nothing of what was killed, is no resumption yet.
        known = max(known, rig.tail(turn), reader.last_seq(turn))
    what = f"anything new after the death of {target} at step {at_step}"
    new = reader.wait_for(
        turn,
        lambda heard: heard.seq > known and heard.at > killed_at,
        within_s=RESUME_WITHIN_S,
        what=what,
    )
    return Kill(target=target, at_step=at_step, resume_s=new.at - killed_at)


# ---- what must hold


def _faults(record: dict[str, Any], tally: Tally, size: Size, like: Run | None) -> list[str]:
    faults = []
    if (record["status"], record["finish_reason"], record["error"]) != ("finished", "stop", ""):
        faults.append(f"ended as {record['finish_reason']}: {record['error']}")
    if tally.doubled:
        faults.append(f"{tally.doubled} effects happened twice")
    if num_steps(record) != size.steps + 1:
        faults.append(f"{num_steps(record)} replies are stored instead of {size.steps + 1}")
    faults += _money_faults(record["money"])
    if like is not None:
        if tally.effects != like.tally.effects:
            faults.append(f"{tally.effects} effects instead of {like.tally.effects}")
        for part in ("transcript", "log"):
            if record[part] != like.record[part]:
                faults.append(f"the {part} differs: {_difference(like.record[part], record[part])}")
    return faults


def num_steps(record: dict[str, Any]) -> int:
    return sum(role == "assistant" for _, _, role, _, _ in record["transcript"])


def num_calls(record: dict[str, Any]) -> int:
    return sum(role == "tool" for _, _, role, _, _ in record["transcript"])


def _money_faults(money: dict[str, Any]) -> list[str]:
    faults = []
    if money["billed"] != [money["stored"]]:
        faults.append(f"billed {money['billed']}, stored {money['stored']}")
    if len(money["charges"]) != 1 or [-amount for amount in money["charges"]] != money["cost_nano"]:
        faults.append(f"charged {money['charges']} for {money['cost_nano']}")
    if money["open_holds"] or money["held_nano"]:
        faults.append(f"{money['open_holds']} holds and {money['held_nano']} are still held")
    return faults


def _difference(expected: list[Any], found: list[Any]) -> str:
    for wanted, got in zip(expected, found, strict=False):
        if wanted != got:
            return f"{str(wanted)[:300]} became {str(got)[:300]}"
    return f"{len(expected)} entries became {len(found)}"


# ---- the table


def table(runs: Sequence[Run], *, title: str) -> str:
    kills = [kill for run in runs for kill in run.kills]
    lines = [
        title,
        f"{'seed':>4} {'kills':>5} {'steps':>5} {'calls':>5} {'effects':>7} {'absorbed':>8} wall s",
    ]
    for one in runs:
        figures = f"{num_steps(one.record):>5} {num_calls(one.record):>5} {one.tally.effects:>7}"
        lines.append(
            f"{one.seed:>4} {len(one.kills):>5} {figures} {one.tally.repeats:>8} {one.wall_s:>6.1f}"
            + "".join(f"\n     FAULT {fault}" for fault in one.faults)
        )
    for target, count in sorted(Counter(kill.target for kill in kills).items()):
        lines.append(
            f"{count:>4} x {target:<15} {spread(resumed(kill for kill in kills if kill.target is target))}"
        )
    if kills:
        lines.append(f"{len(kills):>4} x {'all':<15} {spread(resumed(kills))}")
    return "\n".join(lines)


def resumed(kills: Iterable[Kill]) -> list[float]:
    return sorted(kill.resume_s for kill in kills if kill.resume_s is not None)


def spread(ordered: Sequence[float]) -> str:
    if not ordered:
        return "followed by the next at once"
    median, tail = statistics.median(ordered), percentile(ordered, 95)
    return f"resumed p50 {median:5.2f} s   p95 {tail:5.2f} s   max {ordered[-1]:5.2f} s"


def percentile(ordered: Sequence[float], of_hundred: int) -> float:
    """By nearest rank."""
    return ordered[max(math.ceil(len(ordered) * of_hundred / 100) - 1, 0)]


def p95(runs: Sequence[Run]) -> float:
    return percentile(resumed(kill for run in runs for kill in run.kills), 95)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--keep", type=Path, default=None, help="work in this folder and leave it")
    chosen = parser.parse_args()
    size = Size(steps=chosen.steps, kills=chosen.kills)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        rig = Rig(chosen.keep or Path(folder), Manner(database=chosen.database))
        try:
            rig.start()
            runs = all_runs(rig, size, range(chosen.first, chosen.first + chosen.seeds))
        finally:
            rig.stop()
    sys.stdout.write(table(runs, title=f"{chosen.database}: {size}") + "\n")
    is_good = not any(one.faults for one in runs) and p95(runs) <= RESUME_GOAL_S
    sys.stdout.write("nothing lost, nothing doubled\n" if is_good else "NOT as it must be\n")
    return 0 if is_good else 1


def all_runs(rig: Rig, size: Size, seeds: Sequence[int]) -> list[Run]:
    """An undisturbed run, then one for each seed; each has a person of its own, so that their money tells of
    it alone."""
    runs: list[Run] = []
    undisturbed: Run | None = None
    for seed in (None, *seeds):
        reader = person(rig, f"person{seed or 0}")
        try:
            done = run(rig, reader, size, seed=seed, like=undisturbed)
        finally:
            reader.close()
        undisturbed = undisturbed or done
        runs.append(done)
        sys.stderr.write(f"seed {done.seed}: {done.wall_s:.1f} s, {list(done.faults) or 'good'}\n")
    return runs


if __name__ == "__main__":
    sys.exit(main())
