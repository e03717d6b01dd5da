"""A pytest plugin, loaded before Django's settings are read: it makes the environment they are read from.

Everything a run writes lies in one folder of its own, which the controller makes, its xdist workers share and
the controller removes. A developer's .env, keys and database are never seen by a test.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from agents.documents import sight
from agents.sandbox.wasm import bundle
from inference import registry
from tests import services

ROOT = Path(__file__).resolve().parent.parent
SIGHT = ROOT / "var" / "sandbox" / "sight"  # what recognises text on pictures
WASM = ROOT / "var" / "sandbox" / "wasm"  # what the second sandbox runs in
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
IS_CONTROLLER = not WORKER
FOREIGN = (
    *("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL", "MOONSHOT_API_KEY", "SECRET_KEY", "EMAIL_BACKEND"),
    *(
        "ALLOWED_HOSTS",
        "CSRF_TRUSTED_ORIGINS",
        "DEBUG",
        "SECURE",
        "BEHIND_PROXY",
        "BILLING_CURRENCY",
        "MODEL",
    ),
)

_postgres: services.PostgresCluster | None = None


def missing() -> list[str]:
    """What this machine could not give the tests, in words for the closing summary."""
    models_dir = Path(os.environ["MODELS_DIR"])
    lacks = [
        (services.chromium() is None, "no Chromium: browser tests did not run (apt-get install chromium)"),
        (services.postgres_programs() is None, "no PostgreSQL server: database tests ran on SQLite alone"),
        (
            bundle.found(WASM) is None,
            "no Python in WebAssembly: its sandbox was not tried (manage.py sandbox install-wasm)",
        ),
        (
            sight.installed(SIGHT) is None,
            "no text recognition: its tests did not run (manage.py sandbox install-ocr)",
        ),
    ]
    for name, entry in registry.load().items():
        is_missing = not registry.is_at_hand(entry, models_dir)
        lacks.append((is_missing, f"no model {name}: its tests did not run (manage.py models pull {name})"))
    return [words for is_lacking, words in lacks if is_lacking]


def _prepare_folder() -> Path:
    if IS_CONTROLLER:
        os.environ["TEST_RUN_DIR"] = tempfile.mkdtemp(prefix="tests-")
        Path(os.environ["TEST_RUN_DIR"]).chmod(0o755)  # PostgreSQL runs as another user below it
    folder = Path(os.environ["TEST_RUN_DIR"]) / (WORKER or "main")
    (folder / "static").mkdir(parents=True, exist_ok=True)
    return folder


def _choose_database(folder: Path) -> None:
    """SQLite; with TEST_DATABASE=postgres one cluster for the whole run, which workers inherit by its URL."""
    if os.environ.get("TEST_DATABASE", "sqlite") != "postgres":
        os.environ["DATABASE_URL"] = f"sqlite:///{folder / 'db.sqlite3'}"
        return
    if not IS_CONTROLLER:
        return
    programs = services.postgres_programs()
    if programs is None:
        raise pytest.UsageError(
            "TEST_DATABASE=postgres needs PostgreSQL's server: apt-get install postgresql"
        )
    global _postgres
    _postgres = services.PostgresCluster(Path(os.environ["TEST_RUN_DIR"]) / "postgres", programs=programs)
    _postgres.start()
    os.environ["DATABASE_URL"] = _postgres.url


def _prepare_environment() -> None:
    folder = _prepare_folder()
    for name in FOREIGN:
        os.environ.pop(name, None)
        os.environ.pop(f"{name}_FILE", None)
    os.environ["ENV_FILE"] = os.devnull
    os.environ.setdefault("MODELS_DIR", str(ROOT / "var" / "models"))
    os.environ["VAR_DIR"] = str(folder)
    # The native kernels take a while to build: one cache for all runs, named by their sources.
    os.environ.setdefault("KERNEL_CACHE", str(ROOT / "var" / "kernels"))
    # Two pytest workers share two cores: threads of torch that wait for one another cost minutes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Triton reads this when a kernel is first imported.
    if not Path("/dev/nvidia0").exists():
        os.environ.setdefault("TRITON_INTERPRET", "1")
    os.environ["REDIS_URL"] = services.RedisServer(folder / "redis").url
    os.environ["SCRIPT_FILE"] = str(folder / "script.json")
    os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
    _choose_database(folder)


_prepare_environment()


def pytest_unconfigure() -> None:
    if not IS_CONTROLLER:
        return
    if _postgres is not None:
        _postgres.stop()
    shutil.rmtree(os.environ["TEST_RUN_DIR"], ignore_errors=True)
