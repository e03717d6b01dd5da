"""How long code waits for the sandbox: a first call, a call of a Python that is there, and eight at once."""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from agents.sandbox.sessions import Launcher, Session
from agents.sandbox.watching import Ending
from inference.bench.report import Figure

MOST_WARM_MS = 15.0
MOST_COLD_MS = 150.0
NUM_PARALLEL = 8
WORK = "total = sum(number * number for number in range(1_000))\ntotal"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cold", type=int, default=20, help="first calls, each in a new sandbox")
    parser.add_argument("--warm", type=int, default=300, help="calls of one sandbox")
    parser.add_argument(
        "--packages", type=Path, help="the folder that `manage.py sandbox install` has filled"
    )


def run(options: argparse.Namespace) -> list[Figure]:
    """Raises SandboxFailed. The launcher runs already, as it does in a Celery worker."""
    folder = Path(tempfile.mkdtemp(prefix="bench-sandbox-"))
    launcher = Launcher(options.packages)
    try:
        _called(_session(launcher, folder, "first"))
        cold = [_ms(partial(_cold, launcher, folder, number)) for number in range(options.cold)]
        session = _session(launcher, folder, "warm")
        _called(session)
        warm = [_ms(partial(_called, session)) for _ in range(options.warm)]
        eight, failures = _parallel(launcher, folder, options.warm // NUM_PARALLEL)
    finally:
        launcher.close()
        shutil.rmtree(folder)
    return [
        Figure(name="cold call, p50", value=statistics.median(cold), unit="ms", most=MOST_COLD_MS),
        Figure(name="warm call, p50", value=statistics.median(warm), unit="ms", most=MOST_WARM_MS),
        Figure(name="warm call, p95", value=_p95(warm), unit="ms"),
        Figure(name=f"warm call of {NUM_PARALLEL} at once, p50", value=statistics.median(eight), unit="ms"),
        Figure(name=f"warm call of {NUM_PARALLEL} at once, p95", value=_p95(eight), unit="ms"),
        Figure(name=f"failed calls of {NUM_PARALLEL} at once", value=failures, unit="calls", most=0),
    ]


def _cold(launcher: Launcher, folder: Path, number: int) -> None:
    session = _session(launcher, folder, f"cold-{number}")
    _called(session)
    session.kill()


def _parallel(launcher: Launcher, folder: Path, num_calls: int) -> tuple[list[float], int]:
    """The times of all calls of eight sandboxes at once, their first ones too, and how many went wrong."""

    def work(number: int) -> tuple[list[float], int]:
        session = _session(launcher, folder, f"parallel-{number}")
        failures = 0
        times = []
        for _ in range(max(num_calls, 1)):
            begun_at = time.perf_counter()
            failures += not _is_right(session)
            times.append(1_000 * (time.perf_counter() - begun_at))
        return times, failures

    with ThreadPoolExecutor(NUM_PARALLEL) as threads:
        done = list(threads.map(work, range(NUM_PARALLEL)))
    return [ms for times, _ in done for ms in times], sum(failures for _, failures in done)


def _session(launcher: Launcher, folder: Path, name: str) -> Session:
    files = folder / name
    files.mkdir()
    return launcher.session(files)


def _called(session: Session) -> None:
    if not _is_right(session):
        raise AssertionError("a call of the sandbox brought another value than it should")


def _is_right(session: Session) -> bool:
    outcome = session.python(WORK, wall_s=30)
    return outcome.ending is Ending.DONE and outcome.value == "332833500"


def _ms(do: Callable[[], None]) -> float:
    begun_at = time.perf_counter()
    do()
    return 1_000 * (time.perf_counter() - begun_at)


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]
