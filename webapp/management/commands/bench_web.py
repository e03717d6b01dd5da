"""`manage.py bench_web`: what REST and the chat add to a model's own time to its first token."""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from webapp.management import chat_bench, web_bench
from webapp.management.web_bench import PIECES, SERVERS, Connection, Site

WARM_UP = 30


@dataclass(frozen=True)
class Figure:
    """One measured value and what it should be; `met` is None where there is no goal."""

    name: str
    value: float
    unit: str
    goal: str | None = None
    met: bool | None = None


class Command(BaseCommand):
    help = "Measure the time that the web path adds to the backend's own, with a scripted model."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--server", choices=sorted(SERVERS), default="daphne")
        parser.add_argument("--requests", type=int, default=300, help="requests of each kind")
        parser.add_argument("--concurrency", type=int, default=16)
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")

    def handle(self, *, server: str, requests: int, concurrency: int, **options: Any) -> None:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            web_bench.site(Path(folder), server=server) as site,
        ):
            figures = asyncio.run(_measure(site, num_requests=requests, concurrency=concurrency))
        for figure in figures:
            verdict = (
                "" if figure.met is None else f"  goal {figure.goal}: {'met' if figure.met else 'missed'}"
            )
            self.stdout.write(f"{figure.name:<56} {figure.value:>9.2f} {figure.unit}{verdict}")
        if options["json"] is not None:
            _write(options["json"], figures, server=server)


async def _measure(site: Site, *, num_requests: int, concurrency: int) -> list[Figure]:
    turns = await _turns(site, num_requests // 3)
    alone = await _alone(site, num_requests)
    busy_s, busy = await _busy(site, num_requests=num_requests, concurrency=concurrency)
    together = f"{concurrency} streams at once"
    return [
        *_spread("chat: added time to first token, one at a time", turns, tail=95, tail_goal_ms=120.0),
        *_spread("REST: added time to first token, one at a time", alone["added"]),
        *_spread("REST: whole answer without streaming, one at a time", alone["whole"]),
        *_spread(f"REST: added time to first token, {together}", busy, tail_goal_ms=15.0),
        Figure(f"REST: requests a second, {together}", len(busy) / busy_s, "1/s"),
        Figure(f"REST: pieces a second, {together}", len(busy) * PIECES / busy_s, "1/s"),
    ]


async def _turns(site: Site, num_turns: int) -> list[float]:
    """One turn of the chat at a time: its first piece, less what the backend takes for it."""
    async with chat_bench.connect(site) as tab:
        for _ in range(min(WARM_UP, num_turns)):
            await chat_bench.first_piece_s(tab)
        added = []
        for _ in range(max(num_turns, 1)):
            own_s = await web_bench.own_first_piece_s(site.script)
            added.append(await chat_bench.first_piece_s(tab) - own_s)
        return added


async def _alone(site: Site, num_requests: int) -> dict[str, list[float]]:
    """One request at a time, the backend alone and through the web in turns, so that noise hits both."""
    added, whole = [], []
    async with web_bench.connect(site) as connection:
        for _ in range(min(WARM_UP, num_requests)):
            await connection.ask(is_stream=True)
        for _ in range(num_requests):
            own_s = await web_bench.own_first_piece_s(site.script)
            through = await connection.ask(is_stream=True)
            added.append(through.first_piece_s - own_s)
            whole.append((await connection.ask(is_stream=False)).whole_s)
    return {"added": added, "whole": whole}


async def _busy(site: Site, *, num_requests: int, concurrency: int) -> tuple[float, list[float]]:
    """So many connections that each ask again at once: the time it took, and each first token's."""
    share = -(-num_requests // concurrency)

    async def ask(connection: Connection) -> list[float]:
        return [(await connection.ask(is_stream=True)).first_piece_s for _ in range(share)]

    async def one() -> list[float]:
        async with web_bench.connect(site) as connection:
            return await ask(connection)

    started_at = time.perf_counter()
    rounds = await asyncio.gather(*(one() for _ in range(concurrency)))
    return time.perf_counter() - started_at, [value for values in rounds for value in values]


def _spread(
    name: str, values_s: list[float], *, tail: int = 99, tail_goal_ms: float | None = None
) -> list[Figure]:
    """The median and a tail percentile, which has the goal."""
    ordered = sorted(values_s)
    tail_ms = ordered[min(len(ordered) - 1, len(ordered) * tail // 100)] * 1000
    goal = None if tail_goal_ms is None else f"<= {tail_goal_ms:g} ms"
    met = None if tail_goal_ms is None else tail_ms <= tail_goal_ms
    return [
        Figure(f"{name}, p50", round(statistics.median(ordered) * 1000, 3), "ms"),
        Figure(f"{name}, p{tail}", round(tail_ms, 3), "ms", goal, met),
    ]


def _write(path: Path, figures: list[Figure], *, server: str) -> None:
    machine = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "server": server,
        "database": "sqlite3",
    }
    report = {"machine": machine, "figures": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    names = [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()
