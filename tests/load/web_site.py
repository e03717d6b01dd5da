"""A web process with its Redis, without workers: what it does with events that others write."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.stack import PREPARE, Stack

UVICORN = [
    "-m",
    "uvicorn",
    "--host",
    "127.0.0.1",
    "--log-level",
    "warning",
    "webapp.asgi:application",
    "--port",
]


class Site(Stack):
    """`server` is daphne or uvicorn."""

    server = "daphne"

    def start(self) -> None:
        self.script("text: Hello.")
        self.redis.start()
        self.run(sys.executable, "-c", PREPARE)
        self.start_part("web")
        self.wait_until_served()

    def _programs(self) -> Any:
        programs = super()._programs()
        if self.server == "uvicorn":
            for program in programs:
                if program.name == "web":
                    program.command[:] = [sys.executable, *UVICORN, str(self.port)]
        return programs

    def inside(self, *words: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(
            self.run(sys.executable, "-m", "tests.load.inside", *words).splitlines()[-1]
        )
        return said

    @asynccontextmanager
    async def fed(
        self, turns: Sequence[tuple[str, float, int]], *, seconds: float
    ) -> AsyncIterator["asyncio.Task[dict[str, int]]"]:
        """While each of these turns (id, events a second, characters of each) is written to; the task's
        result is the last number of each."""
        feeder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.load.inside", "feed"),
            cwd=Path(__file__).resolve().parents[2],
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        assert feeder.stdin is not None
        feeder.stdin.write(json.dumps({"turns": list(turns), "seconds": seconds}).encode() + b"\n")
        await feeder.stdin.drain()
        try:
            yield asyncio.create_task(_last_numbers(feeder))
        finally:
            if feeder.returncode is None:
                feeder.terminate()
                await feeder.wait()

    def web_bytes(self) -> int:
        """What the web process holds of memory."""
        return int(psutil.Process(self.pid("web")).memory_info().rss)


async def _last_numbers(feeder: asyncio.subprocess.Process) -> dict[str, int]:
    assert feeder.stdout is not None
    *_, said = (await feeder.stdout.read()).splitlines()
    await feeder.wait()
    last: dict[str, int] = json.loads(said)["last"]
    return last


@contextmanager
def served(server: str = "daphne") -> Iterator[Site]:
    """On a folder of its own, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        site = Site(Path(folder))
        site.server = server
        try:
            site.start()
            yield site
        finally:
            site.stop()
