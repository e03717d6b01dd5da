"""`manage.py up`: the whole platform on one machine, until Ctrl-C."""

import argparse
import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference import registry
from webapp import environment
from webapp.catalog.models import ServedModel
from webapp.catalog.seeds import NO_MODEL
from webapp.management import first_run, model_file, parts, readiness
from webapp.management.first_run import Login
from webapp.management.parts import Plan
from webapp.management.supervision import SupervisionError, Supervisor

READY_WITHIN_S = 600.0


class Command(BaseCommand):
    help = "Start Redis, web, Celery worker, beat and inference worker on this machine; Ctrl-C ends them all."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", default=os.environ.get("LISTEN") or "127.0.0.1")
        parser.add_argument("--port", type=int, default=environment.number("PORT", 8000, minimum=1))
        parser.add_argument(
            "--model", default=settings.MODEL, help="a local model's name, its GGUF file or folder, or none"
        )
        parser.add_argument("--model-path", type=Path, default=os.environ.get("MODEL_PATH") or None)

    def handle(self, *, host: str, port: int, model: str, model_path: Path | None, **_options: Any) -> None:
        try:
            with _only_one(Path(settings.VAR_DIR)):
                _check_port(host, port)
                self._run(host=host, port=port, model=model, model_path=model_path)
        except (SupervisionError, registry.RegistryError) as error:
            raise CommandError(str(error)) from error

    def _run(self, *, host: str, port: int, model: str, model_path: Path | None) -> None:
        model = _choose_model(model)
        plan = self._plan(host, port, model, model_path)
        logins = first_run.prepare()
        _check_offer()
        supervisor = Supervisor(
            parts.programs(plan), root=Path(settings.BASE_DIR), var=Path(settings.VAR_DIR)
        )
        try:
            with _ended_by_signals():
                supervisor.start({"MODEL": model, "REDIS_URL": settings.REDIS_URL})
                readiness.wait(
                    supervisor,
                    address=_address(host, port),
                    redis_url=settings.REDIS_URL,
                    within_s=READY_WITHIN_S,
                    tell=self._tell,
                )
                self._greet(_address(host, port), logins)
                supervisor.wait()
                raise SupervisionError("supervisord ended by itself; see log/supervisord.log under VAR_DIR.")
        except KeyboardInterrupt:
            self._tell("Stopping …")
        finally:
            supervisor.stop()

    def _plan(self, host: str, port: int, model: str, model_path: Path | None) -> Plan:
        is_local = model != NO_MODEL
        return Plan(
            host=host,
            port=port,
            var=Path(settings.VAR_DIR),
            own_redis=None if environment.text("REDIS_URL") else Path(settings.VAR_DIR) / "redis.sock",
            model=registry.served_name(model) if is_local else None,
            model_file=_fetch(model, model_path) if is_local else None,
        )

    def _greet(self, address: str, logins: list[Login]) -> None:
        self._tell(f"\nReady: {address}/")
        if logins:
            for login in logins:
                self._tell(f"  sign in as {login.username:<6} password {login.password}")
            self._tell(f"  (shown once; kept in {first_run.passwords_path()})")
        elif first_run.passwords_path().exists():
            self._tell(f"  the first sign-ins are in {first_run.passwords_path()}")
        self._tell("  Ctrl-C ends everything.")

    def _tell(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _choose_model(model: str) -> str:
    """The seeds of this process see the model that the command line chose, like the parts do.

    A path is made absolute: the parts run in another folder.
    """
    path = registry.path_of(model)
    chosen = str(path.resolve()) if path else model
    os.environ["MODEL"] = settings.MODEL = chosen
    return chosen


def _check_offer() -> None:
    """Raises SupervisionError when nobody could be answered: the platform would never be ready."""
    if not ServedModel.objects.offered().exists():
        raise SupervisionError(
            "No model would be on offer. Set MODEL to a local one (manage.py models list), or a provider: "
            "MOONSHOT_API_KEY, or OPENAI_BASE_URL with OPENAI_MODEL."
        )


def _fetch(model: str, model_path: Path | None) -> Path:
    return registry.path_of(model) or model_file.fetch(
        model, models_dir=Path(settings.MODELS_DIR), given_path=model_path
    )


def _address(host: str, port: int) -> str:
    visible = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://[{visible}]:{port}" if ":" in visible else f"http://{visible}:{port}"


def _check_port(host: str, port: int) -> None:
    """Raises SupervisionError when the web part could not listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SupervisionError(
                f"Cannot listen on {host}:{port} ({error.strerror}). Try make run PORT={port + 1}."
            ) from error


@contextmanager
def _only_one(var: Path) -> Iterator[None]:
    """Raises SupervisionError when another `up` runs on this folder: they would share Redis and database."""
    with (var / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SupervisionError(
                f"The platform already runs on {var}. End it first, or set VAR_DIR to another folder."
            ) from error
        yield


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A kill or a closed terminal ends the platform as Ctrl-C does, even where a shell had Ctrl-C ignored."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
