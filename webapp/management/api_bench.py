"""What the REST gateway adds to a provider's own time, with full accounting: the provider is a mock on the
loopback, asked directly and through the gateway in turns, and through LiteLLM's proxy where that is there.
"""

import asyncio
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psutil
from django.conf import settings

from inference.bench.report import Figure
from webapp.management import web_bench
from webapp.management.web_bench import Connection

STREAM_PIECES = 400
AT_ONCE = 16
WARM_UP = 40
PEER_KEY = "sk-peer"


@dataclass(frozen=True)
class Place:
    """Somewhere to ask: the process is the server's, where its computing is to be counted."""

    name: str
    port: int
    secret: str
    model: str
    process: psutil.Process | None = None


@contextmanager
def mock() -> Iterator[Place]:
    port = web_bench.free_port()
    command = [sys.executable, "-m", "webapp.management.mock_provider", str(port)]
    with _running(command, dict(os.environ)):
        _wait(lambda: socket.create_connection(("127.0.0.1", port), 1).close())
        yield Place("mock", port, "none", "mock")


@contextmanager
def gateway(folder: Path, provider: Place, *, server: str) -> Iterator[Place]:
    extra = {"OPENAI_BASE_URL": f"http://127.0.0.1:{provider.port}/v1", "OPENAI_MODEL": "mock"}
    with web_bench.site(folder, server=server, extra=extra) as site:
        yield Place("gateway", site.port, site.secret, "mock", psutil.Process(site.pid))


@contextmanager
def litellm(folder: Path, provider: Place, program: Path) -> Iterator[Place]:
    """LiteLLM's proxy with one worker and neither a database nor limits: less than the gateway does."""
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n- model_name: mock\n  litellm_params:\n    model: openai/mock\n"
        f"    api_base: http://127.0.0.1:{provider.port}/v1\n    api_key: none\n"
        f"general_settings:\n  master_key: {PEER_KEY}\nlitellm_settings:\n  telemetry: false\n",
        encoding="utf-8",
    )
    port = web_bench.free_port()
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with _running([*command, "--num_workers", "1"], environment) as process:
        _wait(lambda: _answers(f"http://127.0.0.1:{port}/health/liveliness"), within_s=120)
        yield Place("litellm", port, PEER_KEY, "mock", psutil.Process(process.pid))


async def measure(direct: Place, places: Sequence[Place], *, num_requests: int) -> list[Figure]:
    figures: list[Figure] = []
    for place in places:
        figures += await _added(direct, place, num_requests)
        figures += await _first_token(direct, place, num_requests)
        figures += await _rate(place, num_requests)
        figures += await _relay(place)
    return figures + _ratios(figures, places)


async def open_streams(place: Place, *, num_streams: int) -> list[Figure]:
    """So many streams held open at once, each of which has begun, and the memory of the process."""
    assert place.process is not None
    before = place.process.memory_info().rss
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connect(place)) for _ in range(num_streams)]
        await asyncio.gather(*(connection.begin("wait") for connection in connections))
        mib = place.process.memory_info().rss / 2**20
        kib = (place.process.memory_info().rss - before) / 1024 / num_streams
    return [
        Figure(name=f"{place.name}: streams open at once", value=num_streams, unit=""),
        Figure(name=f"{place.name}: memory with them open", value=mib, unit="MiB", most=300.0),
        Figure(name=f"{place.name}: memory of an open stream", value=kib, unit="KiB"),
    ]


def most_streams(asked: int) -> int:
    """As many as this process may have sockets for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    return min(asked, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)


async def _added(direct: Place, place: Place, num_requests: int) -> list[Figure]:
    """One request at a time, direct and through the gateway in turns."""
    added = []
    async with connect(direct) as straight, connect(place) as through:
        for number in range(WARM_UP + num_requests):
            own = await straight.ask(is_stream=False)
            whole = await through.ask(is_stream=False)
            if number >= WARM_UP:
                added.append((whole.whole_s - own.whole_s) * 1000)
    name = f"{place.name}: added, whole answer"
    is_ours = place.name == "gateway"
    return [
        Figure(name=f"{name}, p50", value=_at(added, 50), unit="ms", most=1.2 if is_ours else None),
        Figure(name=f"{name}, p99", value=_at(added, 99), unit="ms", most=4.0 if is_ours else None),
    ]


async def _first_token(direct: Place, place: Place, num_requests: int) -> list[Figure]:
    own, through = [], []
    for _ in range(3):
        own += await _together(direct, num_requests // 3)
        through += await _together(place, num_requests // 3)
    median = statistics.median(own)
    added = [(first - median) * 1000 for first in through]
    goal = 15.0 if place.name == "gateway" else None
    name = f"{place.name}: added to the first token, {AT_ONCE} streams at once"
    return [
        Figure(name=f"{name}, p50", value=_at(added, 50), unit="ms"),
        Figure(name=f"{name}, p99", value=_at(added, 99), unit="ms", most=goal),
    ]


async def _together(place: Place, num_requests: int) -> list[float]:
    """The times to the first token of streams of which some are always under way."""
    left = iter(range(num_requests))

    async def one() -> list[float]:
        async with connect(place) as connection:
            await connection.ask(is_stream=True)
            return [(await connection.ask(is_stream=True)).first_piece_s for _ in left]

    return [time for times in await asyncio.gather(*(one() for _ in range(AT_ONCE))) for time in times]


async def _rate(place: Place, num_requests: int) -> list[Figure]:
    """Whole answers for a second of the server's computing: what one core gives."""
    left = iter(range(num_requests))

    async def one() -> None:
        async with connect(place) as connection:
            for _ in left:
                await connection.ask(is_stream=False)

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(AT_ONCE)))

    cpu_s = await _computing_s(place, all_of_them)
    goal = 600.0 if place.name == "gateway" else None
    name = f"{place.name}: whole answers for a second of computing"
    return [Figure(name=name, value=num_requests / cpu_s, unit="1/s", least=goal)]


async def _relay(place: Place) -> list[Figure]:
    """What a piece of a long stream costs the server to pass on."""
    num_streams = 30

    async def streams(num_pieces: int) -> None:
        async with connect(place) as connection:
            for _ in range(num_streams):
                await connection.ask(is_stream=True, text=f"pieces={num_pieces}")

    await streams(1)
    short_s = await _computing_s(place, lambda: streams(1))
    long_s = await _computing_s(place, lambda: streams(STREAM_PIECES))
    us = (long_s - short_s) * 1e6 / (num_streams * (STREAM_PIECES - 1))
    goal = 15.0 if place.name == "gateway" else None
    return [Figure(name=f"{place.name}: computing for a streamed piece", value=us, unit="us", most=goal)]


async def _computing_s(place: Place, work: Callable[[], Awaitable[None]]) -> float:
    assert place.process is not None
    before = _cpu_s(place.process)
    await work()
    await asyncio.sleep(0.3)  # the last bills
    return _cpu_s(place.process) - before


def _cpu_s(process: psutil.Process) -> float:
    """Its own and its children's."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def _ratios(figures: Sequence[Figure], places: Sequence[Place]) -> list[Figure]:
    """The gateway's figures over LiteLLM's."""
    values = {figure.name: figure.value for figure in figures}
    if "litellm" not in {place.name for place in places}:
        return []
    return [
        Figure(
            name=f"gateway / litellm: {figure.name.removeprefix('litellm: ')}",
            value=values[figure.name.replace("litellm", "gateway", 1)] / figure.value,
            unit="",
        )
        for figure in figures
        if figure.name.startswith("litellm: ") and figure.value
    ]


def _at(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@asynccontextmanager
async def connect(place: Place) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    try:
        yield Connection(reader, writer, place.secret, model=place.model)
    finally:
        writer.close()


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, cwd=settings.BASE_DIR, stdout=quiet, stderr=quiet)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(attempt: Callable[[], None], *, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            return attempt()
        except (OSError, URLError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _answers(url: str) -> None:
    try:
        urlopen(url, timeout=2).close()
    except HTTPError:
        return
