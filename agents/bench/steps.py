"""What the platform adds to a step: a scripted model without latency, one tool that returns 2,000 characters.

Ours writes each step to a real database and streams it into a real Redis, and gives the turn to a new
segment every 25 steps. The peers write to SQLite and stream nothing, which is cheaper. All run in turn, so
that a busy minute meets each of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.bench.report import Figure

ROOT = Path(__file__).resolve().parents[2]
EDGE = 30  # steps at either end of a run that are compared
LONGEST_RUN_S = 900


@dataclass(frozen=True)
class Run:
    """One turn of a contender: seconds of each step, in order."""

    seconds: list[float]
    state_bytes: int
    memory_growth_bytes: int

    @property
    def p50_ms(self) -> float:
        return 1000 * statistics.median(self.seconds)

    @property
    def growth(self) -> float:
        """The last steps' time over the first ones', medians: 1 is flat."""
        return statistics.median(self.seconds[-EDGE:]) / statistics.median(self.seconds[:EDGE])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, nargs="+", default=[300, 1000], help="lengths of the turns")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; their median is reported")
    parser.add_argument("--no-peers", action="store_true", help="measure ours alone")


def run(options: argparse.Namespace) -> list[Figure]:
    """The figures of ours with their goals, of the peers, and the ratios."""
    contenders = {"ours": _ours()}
    if not options.no_peers:
        contenders |= _peers()
    figures = []
    for num_steps in options.steps:
        runs: dict[str, list[Run]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, command in contenders.items():
                runs[name].append(measured(command, num_steps))
        figures += _figures(runs, num_steps)
    return figures


def measured(command: Sequence[str], num_steps: int) -> Run:
    """One run of a contender: the last line it prints. Raises CalledProcessError with what it wrote."""
    words = [word.format(steps=num_steps) for word in command]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"} if words[1] != str(ROOT / "manage.py") else None
    done = subprocess.run(
        words, cwd="/", env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=LONGEST_RUN_S
    )
    said = json.loads(done.stdout.splitlines()[-1])
    return Run(said["seconds"], said["state_bytes"], said["memory_growth_bytes"])


def _ours() -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), "bench_turns", "--steps", "{steps}"]


def _peers() -> dict[str, list[str]]:
    """Those that `make bench-agents-peers` has installed; the rest is said to be missing."""
    python = Path(os.environ.get("PEERS_DIR", ROOT / "var" / "peers")) / "agents" / "bin" / "python"
    if not python.exists():
        sys.stderr.write("The peers are not installed: make bench-agents-peers brings them.\n")
        return {}
    scripts = ROOT / "scripts" / "peers"
    return {
        "LangGraph, SQLite": [str(python), str(scripts / "in_langgraph.py"), "{steps}", "sync"],
        "OpenAI Agents SDK, SQLite": [str(python), str(scripts / "in_openai_agents.py"), "{steps}"],
    }


def _figures(runs: dict[str, list[Run]], num_steps: int) -> list[Figure]:
    medians = {name: statistics.median(run.p50_ms for run in all_of) for name, all_of in runs.items()}
    figures = []
    for name, all_of in runs.items():
        is_ours = name == "ours"
        middle = sorted(all_of, key=lambda run: run.p50_ms)[len(all_of) // 2]
        place = f"{num_steps} steps, {name}"
        figures += [
            Figure(name=f"{place}: a step, p50", value=medians[name], unit="ms", most=5 if is_ours else None),
            Figure(
                name=f"{place}: last {EDGE} steps / first {EDGE}",
                value=middle.growth,
                unit="",
                most=1.2 if is_ours else None,
            ),
            Figure(
                name=f"{place}: state stored",
                value=middle.state_bytes / 1e6,
                unit="MB",
                most=3 if is_ours and num_steps <= 300 else None,
            ),
            Figure(
                name=f"{place}: memory grows by",
                value=middle.memory_growth_bytes / 1e6,
                unit="MB",
                most=20 if is_ours else None,
            ),
        ]
        if not is_ours:
            ratio = medians[name] / medians["ours"]
            figures.append(Figure(name=f"{place}: its step / ours, p50", value=ratio, unit="x"))
    return figures
