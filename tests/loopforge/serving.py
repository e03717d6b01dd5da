"""Running a LoopForge: in a thread of a test, or as a process of its own that a test may kill."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import msgspec
import psutil
import uvicorn

from tests.loopforge.server import LoopForge

ROOT = Path(__file__).resolve().parents[2]
_plainly = build_opener(ProxyHandler({}))


def server(forge: LoopForge, *, host: str, port: int) -> uvicorn.Server:
    # h11 alone: what is measured must not depend on what else is installed.
    config = uvicorn.Config(
        forge, host=host, port=port, log_level="critical", lifespan="off", http="h11", access_log=False
    )
    return uvicorn.Server(config)


@contextmanager
def serve(forge: LoopForge, *, port: int) -> Iterator[str]:
    """The base URL of a LoopForge in a thread of this process."""
    running = server(forge, host="127.0.0.1", port=port)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    _wait(lambda: running.started)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        running.should_exit = running.force_exit = True
        thread.join(timeout=5)


@dataclass
class ForgeProcess:
    """`manage.py loopforge` as a process of its own."""

    port: int
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        command = [sys.executable, "manage.py", "loopforge", "--port", str(self.port), *self.options]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **self.environment}, stdout=subprocess.DEVNULL
        )
        _wait(self._answers)

    def asked(self) -> list[dict[str, Any]]:
        """What `server.Asked` holds of each request so far."""
        return list(self._read("log"))

    def num_asked(self) -> int:
        return int(self._read("count"))

    def cpu_seconds(self) -> float:
        """What it has computed so far."""
        assert self.process is not None
        return sum(psutil.Process(self.process.pid).cpu_times()[:2])

    def _read(self, what: str) -> Any:
        with _plainly.open(f"http://127.0.0.1:{self.port}/forge/{what}", timeout=10) as answer:
            return msgspec.json.decode(answer.read())

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"LoopForge ended with {self.process.returncode}")
        try:
            with _plainly.open(f"{self.base_url}/models", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


def _wait(condition: Any) -> None:
    from tests.services import wait_until

    wait_until(condition, within_s=180, what="LoopForge")
