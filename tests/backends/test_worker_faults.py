"""What must not end a worker, nor lose or strand another's request."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection

from inference.backends.base import StreamBroken
from inference.backends.scripted import Reply
from inference.request_queue.in_process import InProcessTransport
from inference.request_queue.messages import Accepted, WorkerState
from inference.request_queue.redis_streams import RedisTransport
from inference.worker.service import Service
from inference.worker.vitals import Vitals
from tests.backends.asking import ask, collect
from tests.backends.stands import MODEL, LocalStand
from tests.backends.tiny_engine import TinyEngine

QUEUE = f"inference:{MODEL}:requests"


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator["redis.Redis[bytes]"]:
    async with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def transport(redis_url: str) -> AsyncIterator[RedisTransport]:
    built = RedisTransport(redis_url)
    yield built
    await built.aclose()


async def test_a_request_that_never_reached_its_worker_is_handed_to_it_again(transport, raw):
    await raw.xgroup_create(QUEUE, "workers", id="0", mkstream=True)
    ticket = await transport.send(ask(), model=MODEL)
    # Redis handed it out, and the connection broke before the worker had it.
    await raw.xreadgroup("workers", "w", {QUEUE: ">"}, count=1)
    await raw.xclaim(QUEUE, "workers", "w", 0, [ticket.entry_id], idle=60_000, justid=True)
    take_over = transport.take_over
    assert await take_over(model=MODEL, worker_id="w", at_hand={ticket.entry_id}, limit=1) == []
    [job] = await take_over(model=MODEL, worker_id="w", at_hand=(), limit=1)
    assert (job.ticket, job.has_begun) == (ticket, False)
    assert await take_over(model=MODEL, worker_id="w", at_hand=(), limit=1) == []


async def test_a_request_is_queued_once_though_the_connection_breaks_behind_it(transport, raw, monkeypatch):
    read = AbstractConnection.read_response
    faults = [redis.ConnectionError("broke after Redis had it")]

    async def breaks_once(*command, **options):
        answer = await read(*command, **options)
        if faults and re.search(r"\d{13}-0", repr(answer)):
            raise faults.pop()
        return answer

    monkeypatch.setattr(AbstractConnection, "read_response", breaks_once)
    ticket = await transport.send(ask(), model=MODEL)
    assert [entry_id.decode() for entry_id, _ in await raw.xrange(QUEUE)] == [ticket.entry_id]


async def test_an_entry_that_is_no_request_is_dropped_and_the_next_is_answered(local: LocalStand, raw):
    await raw.xadd(QUEUE, {"m": b'{"type":"from another version"}'})
    await raw.xadd(QUEUE, {"x": b""})
    answer = await asyncio.wait_for(collect(local.backend, ask()), 5)
    assert answer.content == "ok"
    async with asyncio.timeout(5):
        while await raw.xlen(QUEUE):
            await asyncio.sleep(0.02)


async def test_a_worker_that_lost_a_duty_ends(local: LocalStand, raw):
    await raw.set(QUEUE, "no stream")
    await asyncio.wait_for(local.service._stopped.wait(), 10)
    assert local.service._has_crashed
    await raw.delete(QUEUE)


async def test_a_request_that_another_answers_leaves_the_queue(local: LocalStand, transport, raw):
    await transport.reply(
        (await transport.send(ask(id="other"), model="none")), number=1, reply=Accepted("x")
    )
    async with asyncio.timeout(5):
        await transport.send(ask(id="other"), model=MODEL)
        while await raw.xlen(QUEUE):
            await asyncio.sleep(0.02)


async def test_a_token_that_cannot_be_read_ends_its_request_alone(local: LocalStand, monkeypatch):
    local.engine.step_s = 0.01
    local.play(Reply(when="bad", lines=("text: ab",)), Reply(lines=("text: " + "word " * 10,)))
    output = local.engine._emit

    def emit(played, token_id):
        is_bad = played.sequence.id == "bad" and played.num_output_tokens == 1
        return output(played, "no token" if is_bad else token_id)  # type: ignore[arg-type]  # the point of it

    monkeypatch.setattr(local.engine, "_emit", emit)
    good = [asyncio.create_task(collect(local.backend, ask(id=f"good-{n}"))) for n in range(3)]
    with pytest.raises(StreamBroken):
        await asyncio.wait_for(collect(local.backend, ask("bad", id="bad")), 5)
    answers = await asyncio.wait_for(asyncio.gather(*good), 10)
    assert [answer.content for answer in answers] == ["word " * 10] * 3


async def test_a_worker_that_drains_while_it_is_chosen_does_not_get_the_request(transport, monkeypatch):
    monkeypatch.setattr("inference.request_queue.affinity.choose", lambda *_takers, **_loads: "w")
    draining = Vitals(model=MODEL, worker_id="w", state=WorkerState.DRAINING)
    await transport.beat(Vitals(model=MODEL, state=WorkerState.READY).heartbeat())
    await transport.beat(draining.heartbeat())
    long = "A conversation that is worth its place in the cache. " * 6
    assert (await transport.send(ask(long), model=MODEL)).owner == ""
    draining.state = WorkerState.READY
    await transport.beat(draining.heartbeat())
    assert (await transport.send(ask(long, id="request-2"), model=MODEL)).owner == "w"


class _AtOnce(InProcessTransport):
    """The first request and its abort arrive in the same moment."""

    def __init__(self):
        super().__init__()
        self.moment = asyncio.Event()

    async def take(self, **options):
        await self.moment.wait()
        return await super().take(**options)

    async def aborts(self):
        await self.moment.wait()
        yield "aborted"
        await asyncio.Event().wait()


async def test_a_request_that_is_aborted_as_it_arrives_leaves_its_place_free():
    engine, transport = TinyEngine(), _AtOnce()
    service = Service(
        engine,
        transport=transport,
        tokenizer=engine.tokenizer,
        vitals=Vitals(model=MODEL),
        max_requests=1,
        max_waiting=0,
    )
    serving = asyncio.create_task(service.run())
    await transport.send(ask(id="aborted"), model=MODEL)
    await asyncio.sleep(0)
    transport.moment.set()
    ticket = await transport.send(ask(id="next"), model=MODEL)
    assert await transport.receive(ticket, after=0, timeout_s=5)
    service.stop()
    await serving
