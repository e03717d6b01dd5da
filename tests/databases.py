"""The databases of a test run. Migrations run once for a run; each worker and each platform gets a copy of
what they made. Between tests only tables that hold rows are emptied."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
from django.apps import apps
from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

ROOT = Path(__file__).resolve().parent.parent
# What migrations say of themselves, and rows that Django derives from the models: no test changes them.
KEPT = {"django_migrations", "django_content_type", "auth_permission"}


def copy_for_sqlite(path: Path) -> None:
    """A SQLite file with every table; a run of one's own, outside pytest, leaves that to the platform."""
    if "TEST_RUN_DIR" in os.environ:
        shutil.copy(_made_once("template.sqlite3"), path)


def copy_for_postgres(name: str) -> None:
    """Another database with every table, in the cluster that DATABASE_URL names."""
    url = os.environ["DATABASE_URL"]
    template = f"{url.rpartition('/')[0]}/template_of_tests"
    with one_at_a_time(), psycopg.connect(url, autocommit=True) as connection:
        exists = "SELECT 1 FROM pg_database WHERE datname = 'template_of_tests'"
        if not connection.execute(exists).fetchone():
            connection.execute("CREATE DATABASE template_of_tests")
            _migrate(template)
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template_of_tests')


def _made_once(name: str) -> Path:
    path = Path(os.environ["TEST_RUN_DIR"]) / name
    with one_at_a_time():
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            _migrate(f"sqlite:///{unfinished}")
            unfinished.rename(path)
    return path


def _migrate(url: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, check=True)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Among the workers of a run."""
    with (Path(os.environ["TEST_RUN_DIR"]) / "databases.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def empty() -> None:
    """What Django's `flush` does between tests of whole transactions, in a tenth of its time."""
    connection = connections["default"]
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)} - KEPT
    quoted = sorted(connection.ops.quote_name(table) for table in tables)
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Whoever still writes ends first; rows that are never deleted are, since triggers rest.
            cursor.execute(f"LOCK TABLE {', '.join(quoted)} IN EXCLUSIVE MODE")
            cursor.execute("SET LOCAL session_replication_role = replica")
        looks = (f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in quoted)
        cursor.execute(" UNION ALL ".join(looks))
        filled = [name for (name,) in cursor.fetchall()]
        guards = _let_guards_stand_aside(cursor) if filled and connection.vendor == "sqlite" else []
        for statement in (*(f"DELETE FROM {name}" for name in filled), *guards):
            cursor.execute(statement)


def _let_guards_stand_aside(cursor: CursorWrapper) -> list[str]:
    """Drops SQLite's triggers that keep rows, and answers what makes them anew."""
    cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_is_kept'")
    guards = cursor.fetchall()
    for name, _ in guards:
        cursor.execute(f"DROP TRIGGER {name}")
    return [create for _, create in guards]
