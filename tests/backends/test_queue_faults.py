"""The queue when its parts die: killed workers, a restarted Redis, lost requests and replies."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inference.backends.base import StreamBroken
from inference.backends.local import LocalBackend
from inference.request_queue.messages import Accepted, Deltas, WorkerState
from inference.request_queue.redis_streams import RedisTransport
from inference.schema import ContentDelta, FinishReason
from inference.worker.vitals import Vitals
from tests.backends import stands
from tests.backends.asking import Answer, ask, collect
from tests.backends.stands import MODEL, LocalStand
from tests.services import RedisServer

pytestmark = pytest.mark.faults


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A durable Redis that the test may kill."""
    server = RedisServer(tmp_path, is_durable=True)
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def worker_process(redis_url: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A worker of its own process, around the tiny engine; it says "a b c" and then nothing."""
    worker = subprocess.Popen([sys.executable, "-m", "tests.backends.tiny_worker", redis_url])
    transport = RedisTransport(redis_url)
    try:
        async with asyncio.timeout(60):
            while not any(one.pid == worker.pid for one in await transport.workers(MODEL)):
                await asyncio.sleep(0.05)
        yield worker
    finally:
        worker.kill()
        worker.wait()
        await transport.aclose()


async def _content(answer: Answer, text: str) -> None:
    while answer.content != text:
        await asyncio.sleep(0.01)


async def test_a_killed_worker_breaks_its_streams(redis_url: str):
    async with worker_process(redis_url) as worker:
        backend = LocalBackend(redis_url=redis_url, model=MODEL)
        so_far = Answer()
        reading = asyncio.create_task(collect(backend, ask(), into=so_far))
        await asyncio.wait_for(_content(so_far, "a b c"), 10)
        killed_at = time.monotonic()
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(StreamBroken, match="stopped in the middle"):
            await asyncio.wait_for(reading, 10)
        assert time.monotonic() - killed_at <= 8.0
        assert not await backend.is_ready()
        await backend.aclose()


async def test_a_request_that_waited_for_a_dead_worker_is_answered_by_the_next(redis_url: str):
    async with _by_hand(redis_url) as (transport, backend):
        reading = asyncio.create_task(collect(backend, ask()))
        assert await transport.take(model=MODEL, worker_id="dead", limit=1, timeout_s=5)
        async with stands.local_stand(redis_url) as successor:
            successor.play("text: here I am")
            answer = await asyncio.wait_for(reading, 10)
    assert answer.content == "here I am"


async def test_a_request_that_a_dead_worker_began_is_said_to_be_broken(redis_url: str):
    transport = RedisTransport(redis_url)
    ticket = await transport.send(ask(), model=MODEL)
    await transport.take(model=MODEL, worker_id="dead", limit=1, timeout_s=1)
    await transport.reply(ticket, number=1, reply=Accepted("dead"))
    await transport.reply(ticket, number=2, reply=Deltas((ContentDelta("half"),)))
    async with stands.local_stand(redis_url):
        async with asyncio.timeout(10):
            while not (replies := await transport.receive(ticket, after=2, timeout_s=1)):
                pass
            assert "stopped in the middle" in str(replies[0].reply)
            while await transport.is_queued(ticket):
                await asyncio.sleep(0.02)
    await transport.aclose()


async def test_a_stream_outlives_a_restart_of_a_durable_redis(own_redis: RedisServer):
    async with stands.local_stand(own_redis.url) as local:
        local.engine.step_s = 0.02
        local.play("text: " + "word " * 40)
        so_far = Answer()
        reading = asyncio.create_task(collect(local.backend, ask(), into=so_far))
        await asyncio.wait_for(_some(so_far), 5)
        await asyncio.to_thread(own_redis.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(own_redis.start)
        answer = await asyncio.wait_for(reading, 20)
        assert answer.content == "word " * 40
        assert answer.finished.reason is FinishReason.STOP


async def test_a_stream_outlives_a_redis_that_forgot_everything(tmp_path: Path):
    server = RedisServer(tmp_path)
    server.start()
    async with stands.local_stand(server.url) as local:
        local.engine.step_s = 0.02
        local.play("text: " + "word " * 40)
        so_far = Answer()
        reading = asyncio.create_task(collect(local.backend, ask(), into=so_far))
        await asyncio.wait_for(_some(so_far), 5)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.start)
        # What was read is read, and what was not yet written is written again.
        assert (await asyncio.wait_for(reading, 20)).content == "word " * 40
        local.play("text: again")
        again = await asyncio.wait_for(_until_served(local), 10)
        assert again.content == "again"
    server.stop()


async def test_a_lost_part_of_an_answer_breaks_the_stream(redis_url: str):
    async with _by_hand(redis_url) as (transport, backend):
        reading = asyncio.create_task(collect(backend, ask()))
        [job] = await transport.take(model=MODEL, worker_id="by-hand", limit=1, timeout_s=5)
        await transport.reply(job.ticket, number=1, reply=Accepted("by-hand"))
        await transport.reply(job.ticket, number=3, reply=Deltas((ContentDelta("the end"),)))
        with pytest.raises(StreamBroken, match="lost a part"):
            await asyncio.wait_for(reading, 5)


async def test_a_lost_request_breaks_the_stream(redis_url: str):
    async with _by_hand(redis_url) as (transport, backend):
        reading = asyncio.create_task(collect(backend, ask()))
        [job] = await transport.take(model=MODEL, worker_id="by-hand", limit=1, timeout_s=5)
        await transport.done(job.ticket)
        with pytest.raises(StreamBroken, match="lost the request"):
            await asyncio.wait_for(reading, 5)


async def test_a_second_writer_is_refused_and_a_repeated_write_is_not(redis_url: str):
    async with _by_hand(redis_url) as (transport, _):
        ticket = await transport.send(ask(), model=MODEL)
        assert await transport.reply(ticket, number=1, reply=Accepted("by-hand"))
        assert await transport.reply(ticket, number=1, reply=Accepted("by-hand"))
        assert not await transport.reply(ticket, number=1, reply=Accepted("another"))


@asynccontextmanager
async def _by_hand(redis_url: str) -> AsyncIterator[tuple[RedisTransport, LocalBackend]]:
    """A worker that the test plays itself."""
    transport = RedisTransport(redis_url)
    await transport.beat(Vitals(model=MODEL, worker_id="by-hand", state=WorkerState.READY).heartbeat())
    backend = LocalBackend(redis_url=redis_url, model=MODEL)
    yield transport, backend
    await backend.aclose()
    await transport.aclose()


async def _some(answer: Answer) -> None:
    while len(answer.content) < 20:
        await asyncio.sleep(0.01)


async def _until_served(local: LocalStand) -> Answer:
    while not await local.backend.is_ready():
        await asyncio.sleep(0.1)
    return await collect(local.backend, ask(id="request-2"))


async def test_workers_share_a_queue_and_each_request_is_answered_once(redis_url: str):
    async with stands.local_stand(redis_url) as first, stands.local_stand(redis_url) as second:
        for local in (first, second):
            local.engine.step_s = 0.005
            local.play("text: twelve chars")
            assert local.vitals.state is WorkerState.READY
        answers = await asyncio.gather(
            *(collect(first.backend, ask(id=f"request-{number}")) for number in range(24))
        )
        assert [answer.content for answer in answers] == ["twelve chars"] * 24
        shares = [len(local.engine.prompts) for local in (first, second)]
        assert sum(shares) == 24
        assert min(shares) > 0


async def test_a_reader_that_is_cancelled_at_any_moment_ends_and_leaves_no_task(redis_url: str):
    chance = random.Random(0)
    async with _by_hand(redis_url) as (_, backend):
        before = len(asyncio.all_tasks())

        async def read_and_be_cancelled(number: int) -> None:
            for turn in range(12):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.random() * 0.05):
                        await collect(backend, ask(id=f"{number}-{turn}"))

        await asyncio.wait_for(asyncio.gather(*map(read_and_be_cancelled, range(12))), 30)
        async with asyncio.timeout(5):
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.02)
