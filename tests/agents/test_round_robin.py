"""What is done one at a time is done for each tenant in turn."""

import asyncio
import threading
from collections.abc import Callable

from agents.round_robin import RoundRobin, asking_for
from tests.services import wait_until


def asked(lock: RoundRobin, tenant: str, done: list[str], name: str) -> Callable[[], None]:
    def work() -> None:
        with asking_for(tenant), lock:
            done.append(name)

    return work


def test_who_asks_often_waits_for_who_asks_seldom() -> None:
    lock, done = RoundRobin(), list[str]()
    threads = []
    with lock:
        for tenant, name in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
            threads.append(threading.Thread(target=asked(lock, tenant, done, name)))
            threads[-1].start()
            expected = len(threads)
            waiting = lambda: sum(map(len, lock._waiting.values())) == expected  # noqa: B023, E731
            wait_until(waiting, within_s=30, what="the next in line")
    for thread in threads:
        thread.join(10)
    assert done == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_gives_up_holds_nobody_up() -> None:
    lock, done = RoundRobin(), list[str]()
    with lock:
        assert not lock.acquire(timeout=0.01)
        thread = threading.Thread(target=asked(lock, "b", done, "b"))
        thread.start()
    thread.join(10)
    assert done == ["b"]
    assert lock.acquire(timeout=0.01)
    lock.release()


async def test_a_thread_knows_whom_it_works_for() -> None:
    lock, done = RoundRobin(), list[str]()
    with asking_for("b"):
        await asyncio.to_thread(lock.acquire)
        waiting = asyncio.create_task(asyncio.to_thread(lock.acquire))
    await asyncio.to_thread(wait_until, lambda: bool(lock._waiting), within_s=10, what="the second")
    assert list(lock._waiting) == ["b"]
    lock.release()
    assert await waiting
    assert done == []
