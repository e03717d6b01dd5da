"""Real inference workers with a real model on one queue: one drains, one is killed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from inference.backends.base import StreamBroken
from inference.backends.local import LocalBackend
from inference.schema import ContentDelta, Finished, Sampling
from tests.backends.asking import Answer, ask, collect
from tests.inference_workers import Fleet

pytestmark = [pytest.mark.faults, pytest.mark.slow]

STORY = "Write a long story about a ship, its captain and number {}."


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two workers; a test that ends one starts another."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    for _ in range(2):
        fleet.start("--drain-s", "60", "--threads", "1")
    yield fleet
    fleet.stop()


@pytest.fixture
async def backend(fleet: Fleet) -> AsyncIterator[LocalBackend]:
    backend = LocalBackend(redis_url=fleet.redis.url, model=fleet.model)
    yield backend
    await backend.aclose()


def tell(backend: LocalBackend, number: int, answer: Answer, *, max_tokens: int) -> asyncio.Task[Answer]:
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    request = ask(STORY.format(number), id=f"story-{number}", sampling=sampling)
    return asyncio.create_task(collect(backend, request, into=answer))


async def begun(answers: list[Answer], *, at_least: int) -> None:
    async with asyncio.timeout(60):
        while (
            sum(any(isinstance(one, ContentDelta) for one in answer.deltas) for answer in answers) < at_least
        ):
            await asyncio.sleep(0.02)


async def test_no_stream_is_dropped_when_a_worker_drains(fleet: Fleet, backend: LocalBackend):
    answers = [Answer() for _ in range(12)]
    reading = [tell(backend, number, answer, max_tokens=60) for number, answer in enumerate(answers)]
    await begun(answers, at_least=4)
    old = fleet.processes[0]
    old.send_signal(signal.SIGTERM)
    while not any(worker.state == "draining" for worker in await backend._transport.workers()):
        await asyncio.sleep(0.02)
    reading.append(tell(backend, 99, late := Answer(), max_tokens=8))
    await asyncio.wait_for(asyncio.gather(*reading), 120)
    for answer in (*answers, late):
        assert answer.content
        assert isinstance(answer.finished, Finished)
    assert await asyncio.to_thread(old.wait, 30) == 0
    assert "Traceback" not in fleet.log(old)


async def test_a_killed_workers_answers_are_whole_or_said_to_be_broken(fleet: Fleet, backend: LocalBackend):
    await asyncio.to_thread(fleet.start, "--threads", "1")
    answers = [Answer() for _ in range(10)]
    reading = [tell(backend, number, answer, max_tokens=150) for number, answer in enumerate(answers)]
    await begun(answers, at_least=3)
    fleet.processes[-1].kill()
    ends = await asyncio.wait_for(asyncio.gather(*reading, return_exceptions=True), 120)
    broken = [end for end in ends if isinstance(end, BaseException)]
    assert broken, "some were with the worker that was killed"
    assert len(broken) < 10
    assert all(isinstance(end, StreamBroken) for end in broken)
    assert all(answer.finished for answer, end in zip(answers, ends, strict=True) if end is answer)
    [left] = await backend._transport.workers()
    async with asyncio.timeout(10):
        while await backend._transport.num_requests(fleet.model):
            await asyncio.sleep(0.05)
    assert left.errors_total <= len(broken)
