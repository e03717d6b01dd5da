"""A real server on the test database, under Daphne and under uvicorn, and the official client against it."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import URLError

import openai
import pytest
from django.conf import settings
from django.db import connection

from inference.backends.scripted import Script
from tests.backends.upstream import Provider, serve
from tests.services import free_port, wait_until
from webapp.accounts import keys
from webapp.billing.models import Hold
from webapp.management.web_bench import SERVERS

APPLICATION = "webapp.asgi:application"
REQUESTS_PER_MINUTE = 40


def database_url() -> str:
    """The test database, for another process."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    return f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"


@contextmanager
def serving(program: str, **settings_of_it: str) -> Iterator[str]:
    """The address of a running server."""
    port = free_port()
    command = [sys.executable, "-m", *SERVERS[program], str(port), APPLICATION]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **settings_of_it}
    process = subprocess.Popen(command, env=environment, cwd=settings.BASE_DIR)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{address}/healthz"), within_s=60, what=program)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="session", params=sorted(SERVERS))
def server(request, redis_url: str, django_db_setup: None, django_db_blocker) -> Iterator[str]:
    """The address of a running server, whose models are played from the script or asked of `upstream`."""
    with django_db_blocker.unblock():
        url = database_url()
    environment = {
        "DATABASE_URL": url,
        "SCRIPT_FILE": settings.SCRIPT_FILE,
        "REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
        "CONCURRENT_REQUESTS": "3",
        "OPENAI_API_KEY": "sk-right",
    }
    with serving(request.param, **environment) as address:
        yield address


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


@pytest.fixture
def secret(transactional_db, alice) -> str:
    """Alice's key. The server sees it, for the test's rows are committed."""
    return keys.create(alice, name="test")[1]


@pytest.fixture
def client(server: str, secret: str, scripted_model) -> Iterator[openai.OpenAI]:
    """Every reply is checked against the types of the client."""
    options: dict[str, Any] = {"max_retries": 0, "timeout": 30, "_strict_response_validation": True}
    with openai.OpenAI(base_url=f"{server}/v1", api_key=secret, **options) as client:
        yield client
    # A bill is written after the answer's last byte: wait for it before the test's rows are wiped away.
    is_open = Hold.objects.filter(status=Hold.Status.OPEN)
    wait_until(lambda: not is_open.exists(), within_s=30, what="the last settlement")


@pytest.fixture
def ask(client: openai.OpenAI) -> Callable[..., object]:
    """Ask the scripted model one question through the official client."""

    def ask(question: str = "What is 2 + 2?", **options):
        options.setdefault("model", "scripted")
        return client.chat.completions.create(messages=[{"role": "user", "content": question}], **options)

    return ask


class Upstream(Provider):
    """A provider that has a script of its own for some of the seeds it is asked with."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: dict[int, Script] = {}

    async def _answer(self, body: dict[str, Any], send: Any) -> None:
        self.script = self.scripts.get(body.get("seed", 0), self.script)
        await super()._answer(body, send)


@pytest.fixture
def upstream(scripted_model) -> Iterator[Upstream]:
    """It takes the scripted model's place."""
    provider = Upstream()
    with serve(provider):
        scripted_model.backend = scripted_model.Backend.OPENAI_COMPATIBLE
        scripted_model.base_url = provider.base_url
        scripted_model.api_key_env = "OPENAI_API_KEY"
        scripted_model.save()
        yield provider
