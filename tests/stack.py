"""The platform as processes, with the scripted model, for tests that need all of it.

Redis, web, Celery worker and beat: each stack has its own folder, database, Redis and port, and no network
beyond the loopback. Parts can be killed as the kernel would and started again; `stop` ends all of them.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from inference import registry
from inference.backends.scripted import Reply, Script
from tests import databases, services
from webapp import bundles
from webapp.management import parts
from webapp.management.supervision import Program

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN_S = 180.0
PREPARE = "import django; django.setup(); from webapp.management import first_run; first_run.prepare()"


@dataclass
class Stack:
    """`start` returns when pages are served; the log of each part lies in the folder, named like the part."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=services.free_port)
    model: str | None = None  # a local model of the registry, served by an inference worker of its own
    database_url: str = ""  # a file of the folder by default
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.redis = services.RedisServer(self.folder / "redis", is_durable=True)
        self.url = f"http://127.0.0.1:{self.port}"
        self.script_file = self.folder / "script.json"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "VAR_DIR": str(self.folder),
            "REDIS_URL": self.redis.url,
            "DATABASE_URL": self.database_url or f"sqlite:///{self.folder / 'db.sqlite3'}",
            "SCRIPT_FILE": str(self.script_file),
            "MODEL": self.model or "none",
            "ENV_FILE": os.devnull,
            "DJANGO_SETTINGS_MODULE": "webapp.settings",
            **self.settings,
        }

    def start(self) -> None:
        self.script("text: Hello.")
        self.redis.start()
        self._prepare()
        for name in self.part_names:
            self.start_part(name)
        self.wait_until_served()

    def _prepare(self) -> None:
        """As a first start does. Platforms of one test run share its migrations and its static files."""
        if "TEST_RUN_DIR" not in os.environ:
            self.run(sys.executable, "-c", PREPARE)
            return
        if not self.database_url:
            databases.copy_for_sqlite(self.folder / "db.sqlite3")
        if self.settings.get("BUNDLE_DIR", str(bundles.COMMITTED)) == str(bundles.COMMITTED):
            self.settings["STATIC_ROOT"] = str(Path(os.environ["TEST_RUN_DIR"]) / "static-of-platforms")
        with databases.one_at_a_time():
            self.run(sys.executable, "-c", PREPARE)

    @property
    def part_names(self) -> list[str]:
        return [program.name for program in self._programs()]

    def _programs(self) -> list[Program]:
        model_file = registry.entry(self.model).path(Path(os.environ["MODELS_DIR"])) if self.model else None
        plan = parts.Plan(
            host="127.0.0.1",
            port=self.port,
            var=self.folder,
            own_redis=None,
            model=self.model,
            model_file=model_file,
        )
        return parts.programs(plan)

    def start_part(self, name: str) -> None:
        command = next(program.command for program in self._programs() if program.name == name)
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, name: str) -> None:
        """kill -9 of the part and whatever it started."""
        part = self._running.pop(name)
        os.killpg(part.pid, signal.SIGKILL)
        part.wait()

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def ended(self) -> list[str]:
        """The parts that have ended by themselves."""
        return [name for name, part in self._running.items() if part.poll() is not None]

    def wait_until_served(self) -> None:
        services.wait_until(self._is_served, within_s=READY_WITHIN_S, what=f"the site at {self.url}")

    def wait_until_ready(self) -> None:
        """Every part answers, an inference worker included."""
        services.wait_until(self._is_ready, within_s=READY_WITHIN_S, what="readiness")

    def script(self, *lines: str | Reply) -> None:
        """What the model answers from now on, in every process: one reply of these lines, or several."""
        replies = tuple(line for line in lines if isinstance(line, Reply))
        texts = tuple(line for line in lines if isinstance(line, str))
        (Script(replies=replies) if replies else Script.of(*texts)).write(self.script_file)

    def run(self, *command: str) -> str:
        """The output of a command that ends by itself, with this stack's settings; raises when it fails."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        text = done.stdout.decode(errors="replace")
        if done.returncode:
            raise RuntimeError(f"{command} failed:\n{text}")
        return text

    def python(self, code: str) -> str:
        """The output of code that runs with this stack's Django."""
        return self.run(sys.executable, "-c", f"import django; django.setup()\n{code}")

    def stop(self) -> None:
        for part in self._running.values():
            os.killpg(part.pid, signal.SIGTERM)
        for part in self._running.values():
            try:
                part.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(part.pid, signal.SIGKILL)
                part.wait()
        self._running.clear()
        self.redis.stop()

    def _is_served(self) -> bool:
        if (web := self._running["web"]).poll() is not None:
            log = (self.folder / "web.log").read_text(errors="replace")
            raise RuntimeError(f"the web process ended with {web.returncode}:\n{log[-2000:]}")
        try:
            with urlopen(f"{self.url}/sign-in/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
