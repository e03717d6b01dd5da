"""What every test may ask for: a Redis, a database, people with money, a scripted model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from django.conf import settings
from django.db import connections
from django.test import TransactionTestCase
from django.utils import translation

from inference.backends.scripted import Reply, Script
from tests import databases, environment, services
from webapp.accounts.models import User
from webapp.billing import seeds
from webapp.catalog.models import ServedModel

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)


class WriteScript(Protocol):
    """`script("think: hm", "text: 4")` answers every request; `script(Reply(...), Reply(...))` chooses."""

    def __call__(self, *lines: str | Reply) -> None: ...


def pytest_configure() -> None:
    # The manifest that names hashed files exists only after collectstatic, which a test need not wait for.
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    TransactionTestCase._fixture_teardown = lambda _case: databases.empty()  # type: ignore[attr-defined]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that touches the database gets the mark `database`: those run on PostgreSQL too.

    Files with a browser come last: while Playwright runs, its event loop lets no other run in the process.
    Among each kind those that start a platform of their own come first: they are long.
    """
    browsing, starting = set(), set()
    for item in items:
        fixtures: dict[str, Sequence[pytest.FixtureDef[Any]]] = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
        if item.get_closest_marker("django_db") or {"db", "transactional_db"} & fixtures.keys():
            item.add_marker("database")
        if "browser" in fixtures:
            browsing.add(item.path)
        if any(found[-1].scope == "module" for found in fixtures.values()):
            starting.add(item.path)
    items.sort(key=lambda item: (item.path in browsing, item.path not in starting))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section("this run")
    terminalreporter.write_line(f"database: {settings.DATABASES['default']['ENGINE'].rpartition('.')[2]}")
    for line in environment.missing() or ["every part of the suite had what it needs"]:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def redis_url() -> Iterator[str]:
    """The run's own Redis, the one that settings.REDIS_URL, the channel layer and Celery's broker name."""
    server = services.RedisServer(Path(settings.VAR_DIR) / "redis")
    assert server.url == settings.REDIS_URL
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(autouse=True)
def _default_language() -> Iterator[None]:
    """Django's test client leaves the language of its last request switched on."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _empty_redis(redis_url: str) -> Iterator[None]:
    yield
    services.flush(redis_url)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """It is a copy of the run's own; it goes with the run's folder or server."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """A SQLite test database is a file, so that threads and other processes see it."""
    database = connections.databases["default"]
    if database["ENGINE"].endswith("sqlite3"):
        path = Path(settings.VAR_DIR) / "test.sqlite3"
        databases.copy_for_sqlite(path)
        database["TEST"]["NAME"] = str(path)
    else:
        database["TEST"]["NAME"] = f"test_{environment.WORKER or 'main'}"
        databases.copy_for_postgres(database["TEST"]["NAME"])


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """One Chromium for the whole run: a process can drive Playwright only once at a time."""
    from playwright.sync_api import sync_playwright

    executable = services.chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def script() -> Iterator[WriteScript]:
    """Writes what the scripted model answers; the file is the one that settings.SCRIPT_FILE names."""
    path = Path(settings.SCRIPT_FILE)

    def write(*lines: str | Reply) -> None:
        replies = tuple(line for line in lines if isinstance(line, Reply))
        texts = tuple(line for line in lines if isinstance(line, str))
        (Script(replies=replies) if replies else Script.of(*texts)).write(path)

    yield write
    path.unlink(missing_ok=True)


def _person(name: str) -> User:
    """A user with the sign-up credit, 5.00."""
    return User.objects.create_user(name, f"{name}@example.com", f"{name}-password-1")


@pytest.fixture
def alice(db: None) -> User:
    """Signs in with the password `alice-password-1`."""
    return _person("alice")


@pytest.fixture
def bob(db: None) -> User:
    return _person("bob")


@pytest.fixture
def scripted_model(db: None) -> ServedModel:
    """A free model that plays the script."""
    model, _ = ServedModel.objects.update_or_create(
        name="scripted",
        defaults={
            "label": "Scripted",
            "backend": ServedModel.Backend.SCRIPTED,
            "upstream_name": "scripted",
            "context_tokens": 32_768,
            "max_output_tokens": 8_192,
            "position": 1,
            "is_active": True,
        },
    )
    seeds.seed()  # a price of 0
    return model
