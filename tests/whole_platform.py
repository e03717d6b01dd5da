"""`manage.py up` as a process of its own, on a folder and a port of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests import services

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN_S = 180


class Platform:
    """One `manage.py up` on a folder and port of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.port = services.free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._log = folder / "up.log"
        clean = {
            name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
        }
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(self.port)],
            cwd=ROOT,
            env={**clean, "VAR_DIR": str(folder), **environment},
            stdout=self._log.open("w"),
            stderr=subprocess.STDOUT,
        )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.said
            return "Ready: " in self.said

        services.wait_until(is_ready, within_s=READY_WITHIN_S, what="the platform")

    def parts(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=60)
