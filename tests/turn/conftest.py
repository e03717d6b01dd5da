"""What a test of whole turns runs on: real Redis, a real Celery worker, the scripted model, tabs with
websockets."""

from collections.abc import Callable, Iterator

import pytest
from celery.contrib.testing.worker import start_worker
from django.db import connections

from tests.turn.browser import Server, Tab
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel
from webapp.celery import app

OpenTab = Callable[[User | None], Tab]


@pytest.fixture
def celery_worker(transactional_db: None) -> Iterator[None]:
    """A worker in this process, with threads, as the platform runs them."""
    with start_worker(
        app,
        pool="threads",
        concurrency=4,
        perform_ping_check=False,
        queues=["turns", "default"],
        loglevel="WARNING",
    ):
        yield


@pytest.fixture
def server(transactional_db: None) -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()
    connections.close_all()


@pytest.fixture
def open_tab(server: Server, scripted_model: ServedModel) -> Iterator[OpenTab]:
    """Opens tabs, and closes them in the end."""
    tabs: list[Tab] = []

    def open_one(user: User | None) -> Tab:
        tabs.append(Tab(server, user))
        return tabs[-1]

    yield open_one
    for tab in tabs:
        tab.close()


@pytest.fixture
def alice_tab(open_tab: OpenTab, celery_worker: None, alice: User) -> Tab:
    return open_tab(alice)
