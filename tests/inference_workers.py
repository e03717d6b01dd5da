"""Real inference workers as processes, on a Redis of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from inference import registry
from tests.services import RedisServer, wait_until

READY_WITHIN_S = 180.0


class Fleet:
    """Workers of one model on one queue. `stop` ends all that were started."""

    def __init__(self, folder: Path, *, model: str = "smollm2") -> None:
        self.model = model
        self.folder = folder
        self.redis = RedisServer(folder / "redis")
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Another worker, once it is ready."""
        is_path = registry.path_of(self.model) is not None
        if not is_path and not registry.entry(self.model).path(settings.MODELS_DIR).exists():
            pytest.skip(f"the model is not at hand: python manage.py models pull {self.model}")
        if self.redis.process is None:
            self.redis.start()
        path = self.folder / f"worker-{len(self.processes)}.log"
        command = [sys.executable, "-m", "inference.worker", "--model", self.model]
        places = ["--redis-url", self.redis.url, "--models-dir", str(settings.MODELS_DIR)]
        with path.open("wb") as log:
            process = subprocess.Popen([*command, *places, *options], stderr=log)
        self.processes.append(process)
        wait_until(lambda: b"is ready" in path.read_bytes(), within_s=READY_WITHIN_S, what="the worker")
        return process

    def log(self, process: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"worker-{self.processes.index(process)}.log").read_text(errors="replace")

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.redis.stop()
