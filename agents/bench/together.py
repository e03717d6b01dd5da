"""Many turns at once with a model that takes its time: how much of what it would allow is reached.

The platform is started as `manage.py up` starts it, once for each database, with a model of this machine
whose first word comes 200 ms after it was asked. Ideal is one step in 200 ms for each turn, as if nothing
else took time: neither the platform nor the model's sending. The model computes on the same cores, and what
it takes is not given back to the platform; it is shown beside, for a model elsewhere takes none here. It
wants a quiet machine: what else computes here is missing there.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from inference.bench.report import Figure

ROOT = Path(__file__).resolve().parents[2]
LEAST_SHARE = 95.0
LONGEST_RUN_S = 600


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--steps", type=int, default=40, help="steps of each turn")
    parser.add_argument("--latency-ms", type=int, default=200, help="of the model's answer")
    parser.add_argument("--databases", nargs="+", choices=("sqlite", "postgres"), default=["sqlite"])


def run(options: argparse.Namespace) -> list[Figure]:
    """For each database the share of the ideal throughput, with its goal, and what a step takes of the cores
    once all turns run."""
    figures = []
    for database in options.databases:
        crowd = measured(options, database)
        name = f"{crowd['turns']} turns together, {database}"
        figures += [
            Figure(
                name=f"{name}: of ideal throughput", value=100 * crowd["share"], unit="%", least=LEAST_SHARE
            ),
            Figure(name=f"{name}: steps", value=crowd["steps_per_s"], unit="1/s"),
            Figure(name=f"{name}: computing a step", value=crowd["worker_cpu_ms_per_step"], unit="ms"),
            Figure(
                name=f"{name}: the model's own computing", value=crowd["model_cpu_ms_per_step"], unit="ms"
            ),
        ]
    return figures


def measured(options: argparse.Namespace, database: str) -> dict[str, Any]:
    """What one crowd reached: the last line it prints."""
    counts = {"--turns": options.turns, "--steps": options.steps, "--latency-ms": options.latency_ms}
    words = [word for name, value in counts.items() for word in (name, str(value))]
    command = [sys.executable, "-m", "tests.faults.crowd", *words, "--database", database]
    done = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=LONGEST_RUN_S
    )
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said
