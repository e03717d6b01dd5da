"""The loop that a thread keeps from one segment of a turn to the next."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from django.db import connections

from chat import own_loop
from webapp.accounts.models import User

T = TypeVar("T")


def in_a_thread(work: Callable[[], T]) -> T:
    """What `work` returns in a thread of its own."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(timeout=30)
    return results[0]


@asynccontextmanager
async def connection(opened: list[str]) -> AsyncGenerator[object, None]:
    opened.append("opened")
    yield object()
    opened.append("closed")


async def used(opened: list[str]) -> object:
    async with own_loop.kept("it", lambda: connection(opened)) as one:
        return one


def test_a_thread_keeps_its_connections_between_segments() -> None:
    opened: list[str] = []
    assert in_a_thread(lambda: own_loop.run(used(opened)) is own_loop.run(used(opened)))
    assert opened == ["opened"]


async def test_elsewhere_a_connection_is_closed_after_its_use() -> None:
    opened: list[str] = []
    assert await used(opened) is not await used(opened)
    assert opened == ["opened", "closed"] * 2


def test_what_a_segment_leaves_running_ends_with_it() -> None:
    async def endless(ended: list[bool]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def leave_it(ended: list[bool]) -> list[bool]:
        task = asyncio.create_task(endless(ended))
        await asyncio.sleep(0)
        assert not task.done()
        return ended

    assert in_a_thread(lambda: own_loop.run(leave_it([]))) == [True]


@pytest.mark.django_db(transaction=True)
def test_a_turns_rows_are_written_by_the_thread_that_drives_it() -> None:
    def write() -> int:
        User.objects.create_user("carol", "carol@example.com", "a long password")
        return threading.get_ident()

    async def drive() -> tuple[int, int]:
        return await own_loop.database(write), threading.get_ident()

    def driven() -> tuple[int, int]:
        try:
            return own_loop.run(drive())
        finally:
            connections.close_all()

    writer, driver = in_a_thread(driven)
    assert writer == driver
    assert User.objects.filter(username="carol").exists()


@pytest.mark.django_db(transaction=True)
async def test_a_servers_loop_is_not_held_up_by_the_database() -> None:
    assert await own_loop.database(threading.get_ident) != threading.get_ident()
