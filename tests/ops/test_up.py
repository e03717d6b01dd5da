"""`manage.py up` as one starts it: everything runs, one Ctrl-C ends everything, a second start is fast."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from inference import registry
from inference.backends.scripted import Script
from tests import services
from tests.whole_platform import Platform

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def var(tmp_path: Path) -> Path:
    Script.of("text: Paris.").write(tmp_path / "script.json")
    return tmp_path


@pytest.fixture
def scripted(var: Path) -> Iterator[Platform]:
    platform = Platform(var, MODEL="none", SCRIPT_FILE=str(var / "script.json"))
    yield platform
    platform.interrupt()


@pytest.mark.slow
def test_up_runs_every_part_and_ctrl_c_leaves_none(scripted: Platform, var: Path) -> None:
    scripted.wait_until_ready()
    assert httpx.get(f"{scripted.address}/readyz", trust_env=False).status_code == 200
    commands = " ".join(" ".join(part.cmdline()) for part in scripted.parts())
    for part in ("redis-server", "daphne", "celery -A webapp worker", "celery -A webapp beat", "supervisord"):
        assert part in commands
    parts = scripted.parts()
    scripted.interrupt()
    assert [part for part in parts if part.is_running()] == []
    assert (var / "redis" / "appendonlydir").exists() or (var / "redis" / "appendonly.aof").exists()


@pytest.mark.slow
def test_up_shows_the_first_sign_ins_once_and_the_second_start_is_quick(
    scripted: Platform, var: Path
) -> None:
    scripted.wait_until_ready()
    logins = re.findall(r"sign in as (\w+) +password (\S+)", scripted.said)
    assert [name for name, _ in logins] == ["admin", "demo"]
    scripted.interrupt()
    started_at = time.monotonic()
    again = Platform(var, MODEL="none", SCRIPT_FILE=str(var / "script.json"))
    try:
        again.wait_until_ready()
        assert time.monotonic() - started_at < 30
        assert "password" not in again.said.replace("first-run-passwords", "")
    finally:
        again.interrupt()


@pytest.mark.slow
def test_a_part_that_dies_is_back_and_the_platform_ready_again(scripted: Platform) -> None:
    scripted.wait_until_ready()
    [redis] = [part for part in scripted.parts() if part.name() == "redis-server"]
    redis.kill()

    def is_ready() -> bool:
        try:
            return httpx.get(f"{scripted.address}/readyz", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    services.wait_until(lambda: not redis.is_running(), within_s=30, what="the end of Redis")
    services.wait_until(is_ready, within_s=30, what="readiness after the death of Redis")


@pytest.mark.slow
def test_up_serves_a_local_model_that_is_named_by_its_path(var: Path) -> None:
    path = registry.entry("smollm2").path(Path(os.environ["MODELS_DIR"]))
    platform = Platform(var, MODEL=str(path))
    try:
        platform.wait_until_ready()
        backend = httpx.get(f"{platform.address}/readyz", trust_env=False).json()["parts"]["backend"]
        assert backend["ok"]
        assert f"computes {path.stem} with" in backend["detail"]
    finally:
        platform.interrupt()


def refused(var: Path, *options: str, **environment: str) -> str:
    """What `up` says when it refuses to start."""
    answer = subprocess.run(
        [sys.executable, "manage.py", "up", *options],
        cwd=ROOT,
        env={**os.environ, "VAR_DIR": str(var), "DATABASE_URL": f"sqlite:///{var}/db.sqlite3", **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode != 0
    assert "Traceback" not in answer.stderr
    return answer.stderr


def test_a_port_in_use_is_refused_with_what_to_do(var: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"make run PORT={port + 1}" in refused(var, "--model", "none", "--port", str(port))


def test_an_unknown_model_is_refused_with_the_names_there_are(var: Path) -> None:
    assert "smollm2" in refused(var, "--model", "gpt-9", "--port", str(services.free_port()))


@pytest.mark.slow
def test_a_model_file_that_is_none_ends_up_with_the_workers_own_words(var: Path) -> None:
    path = var / "broken.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    said = refused(var, "--model", str(path), "--port", str(services.free_port()))
    assert "The inference part does not stay up" in said
    assert "the model" in said
    assert "broken.gguf" in said


def test_a_platform_without_any_model_is_refused_with_the_variables_to_set(var: Path) -> None:
    said = refused(var, "--model", "none", "--port", str(services.free_port()), SCRIPT_FILE="")
    assert "MOONSHOT_API_KEY" in said
