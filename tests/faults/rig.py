"""The platform as `manage.py up` runs it, on SQLite or PostgreSQL, with a LoopForge for its model: parts are
killed as the kernel would, and started again at once, as supervisord does."""

import contextlib
import json
import os
import random
import shutil
import sys
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil
import redis

from tests import services
from tests.loopforge import ledger, tools
from tests.loopforge.server import MODEL
from tests.loopforge.serving import ForgeProcess
from tests.stack import ROOT, Stack
from webapp.management import parts

KEEP_EVERY_S = 0.1


class Target(StrEnum):
    WORKER = "worker"  # the processes that drive turns
    GROUP = "group"  # every Celery process at once, beat with them
    WEB = "web"
    REDIS = "redis"
    REDIS_EMPTY = "redis, emptied"  # and what it held is gone
    POSTGRES = "postgres"
    MODEL = "model server"


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the rig's model and tools behave."""

    database: str = "sqlite"
    latency_ms: int = 30
    tool_ms: int = 10
    seed: int = 1


class Rig:
    """`start` returns when the site is served; `stop` ends all."""

    def __init__(self, folder: Path, manner: Manner, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.manner = manner
        self.ledger = ledger.Ledger(folder / "ledger.sqlite3")
        self.postgres = self._cluster() if manner.database == "postgres" else None
        options = ("--seed", str(manner.seed), "--latency-ms", str(manner.latency_ms))
        self.forge = ForgeProcess(services.free_port(), options)
        tools.install(folder / "site")
        self.stack = Stack(folder, database_url=self.postgres.url if self.postgres else "")
        path = os.pathsep.join([str(folder / "site"), str(ROOT)])
        self.stack.settings = {
            "PYTHONPATH": path,
            "OPENAI_BASE_URL": self.forge.base_url,
            "OPENAI_MODEL": MODEL,
            ledger.VARIABLE: str(folder / "ledger.sqlite3"),
            tools.DELAY_MS: str(manner.tool_ms),
            "TURNS_PER_MINUTE": "100000",
            "CONCURRENT_TURNS": "1000",
            "LOG_LEVEL": "INFO",
            **settings,
        }
        self._keeper: threading.Thread | None = None
        self._is_over = threading.Event()
        self._lock = threading.RLock()

    def _cluster(self) -> services.PostgresCluster:
        programs = services.postgres_programs()
        assert programs is not None, "no PostgreSQL server: apt-get install postgresql"
        self.folder.chmod(0o755)  # it runs as another user below
        return services.PostgresCluster(self.folder / "postgres", programs=programs, is_durable=True)

    def start(self) -> None:
        if self.postgres is not None:
            self.postgres.start()
        self.forge.start()
        self.stack.start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        self._is_over.set()
        if self._keeper is not None:
            self._keeper.join(timeout=10)
        self.stack.stop()
        self.forge.stop()
        if self.postgres is not None:
            self.postgres.stop()

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(target for target in Target if self.postgres or target is not Target.POSTGRES)

    @property
    def turn_workers(self) -> list[str]:
        return [program.name for program in parts.turn_workers()]

    @property
    def workers(self) -> list[str]:
        """The Celery workers by their part's name."""
        return [name for name in self.stack.part_names if "worker" in name]

    def kill(self, target: Target) -> float:
        """kill -9, and what was killed is started again; the monotonic time of the kill."""
        with self._lock:
            killed_at = time.monotonic()
            if target in (Target.REDIS, Target.REDIS_EMPTY):
                self.stack.redis.kill()
                if target is Target.REDIS_EMPTY:
                    shutil.rmtree(self.stack.redis.folder)
                self.stack.redis.start()
            elif target is Target.MODEL:
                self.forge.stop()
                self.forge.start()
            elif target is Target.POSTGRES:
                assert self.postgres is not None
                self.postgres.kill()
                self.postgres.start()
            else:
                names = {Target.WORKER: self.turn_workers, Target.WEB: ["web"]}.get(
                    target, [*self.workers, "beat"]
                )
                for name in names:
                    self.stack.kill(name)
                for name in names:
                    self.stack.start_part(name)
        return killed_at

    def inside(self, *words: str) -> dict[str, Any]:
        """What `tests.faults.inside` answers to these words."""
        said = self.stack.run(sys.executable, "-m", "tests.faults.inside", *words)
        answer: dict[str, Any] = json.loads(said.splitlines()[-1])
        return answer

    def cpu_seconds(self) -> float:
        """What all Celery processes have computed so far."""
        processes = [psutil.Process(self.stack.pid(name)) for name in (*self.workers, "beat")]
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    def restart_everything(self) -> None:
        """Every process of the platform is killed at once and started again."""
        with self._lock:
            for name in self.stack.part_names:
                self.stack.kill(name)
            self.kill(Target.REDIS)
            if self.postgres is not None:
                self.kill(Target.POSTGRES)
            for name in self.stack.part_names:
                self.stack.start_part(name)
            self.stack.wait_until_served()

    def tail(self, turn: str) -> int:
        """The number of the last event in the turn's log; 0 while Redis is away."""
        with contextlib.closing(redis.Redis.from_url(self.stack.redis.url)) as client:
            try:
                last = client.xrevrange(f"turn:{turn}:events", count=1)
            except redis.RedisError:
                return 0
        return int(last[0][0].split(b"-")[0]) if last else 0

    def _keep(self) -> None:
        """As supervisord does: what ends by itself is started again."""
        while not self._is_over.wait(KEEP_EVERY_S):
            with self._lock:
                for name in self.stack.ended():
                    self.stack.start_part(name)


def draw_targets(rig: Rig, draw: random.Random, count: int) -> list[Target]:
    """Every kind of target in turn, in an order drawn by the seed, so that each is met in each run."""
    kinds = [*rig.targets, Target.WORKER, Target.WORKER, Target.GROUP]
    chosen = [kinds[at % len(kinds)] for at in range(max(count, len(kinds)))]
    draw.shuffle(chosen)
    return chosen[:count]
