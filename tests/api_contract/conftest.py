"""A server on the test database for a client that asks for anything."""

from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.api.conftest import database_url, serving
from webapp.accounts import keys


@pytest.fixture(scope="module")
def address(redis_url: str, django_db_setup: None, django_db_blocker) -> Iterator[str]:
    with django_db_blocker.unblock():
        url = database_url()
    environment = {
        "DATABASE_URL": url,
        "SCRIPT_FILE": settings.SCRIPT_FILE,
        "REQUESTS_PER_MINUTE": "1000000",
        "CONCURRENT_REQUESTS": "1000",
    }
    with serving("uvicorn", **environment) as address:
        yield address


@pytest.fixture
def secret(transactional_db, alice, scripted_model) -> str:
    scripted_model.name = "kimi-k2-thinking"
    scripted_model.save()
    return keys.create(alice, name="contract")[1]
