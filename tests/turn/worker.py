"""A Celery worker as a process of its own, which a test may kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connections

ROOT = Path(__file__).resolve().parents[2]


class WorkerProcess:
    """Runs against this test's database, Redis and script."""

    def __init__(self) -> None:
        command = [*("-m", "celery", "-A", "webapp", "worker", "--pool", "threads", "--concurrency", "4")]
        options = ["-Q", "turns,default", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
        self.process = subprocess.Popen(
            [sys.executable, *command, *options, "-n", f"w{os.urandom(4).hex()}@localhost"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": _database_url()},
        )

    def kill(self) -> None:
        """As the kernel would: nothing is finished, nothing is said."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()


def _database_url() -> str:
    """The test database, in words for another process."""
    database = connections["default"].settings_dict
    if database["ENGINE"].endswith("sqlite3"):
        return f"sqlite:///{database['NAME']}"
    user, host, port = database["USER"], database["HOST"], database["PORT"]
    assert settings.DATABASES
    return f"postgres://{quote(user)}@{host}:{port}/{database['NAME']}"
