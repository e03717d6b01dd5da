"""What every transport promises. The same tests run on each; a new one is done when it passes them."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from inference.request_queue.messages import (
    Accepted,
    Deltas,
    Fault,
    Job,
    WorkerState,
)
from inference.request_queue.transport import WorkerTransport
from inference.schema import ContentDelta
from tests.inference.request_queue.conftest import LONG, MODEL, Ends, ask

BROKEN = Fault(kind="broken", message="it broke")


async def take(transport: WorkerTransport, worker_id: str, *, limit: int = 8) -> list[Job]:
    return await transport.take(model=MODEL, worker_id=worker_id, limit=limit, timeout_s=0.05)


async def take_over(
    transport: WorkerTransport, worker_id: str, *, at_hand: tuple[str, ...] = (), limit: int = 8
) -> list[Job]:
    return await transport.take_over(model=MODEL, worker_id=worker_id, at_hand=at_hand, limit=limit)


def ids(jobs: list[Job]) -> list[str]:
    return [job.request.id for job in jobs]


async def numbers(ends: Ends, job: Job) -> list[int]:
    return [one.number for one in await ends.caller.receive(job.ticket, after=0, timeout_s=0.05)]


async def test_each_request_goes_to_one_worker_alone(ends: Ends):
    for number in range(6):
        await ends.caller.send(ask(id=f"r{number}"), model=MODEL)
    jobs = await asyncio.gather(take(ends.first, "first", limit=3), take(ends.second, "second", limit=3))
    assert sorted(ids(jobs[0] + jobs[1])) == [f"r{number}" for number in range(6)]
    assert await take(ends.first, "first") == []
    assert await ends.caller.num_requests(MODEL) == 6, "those being answered included"


async def test_a_taken_request_tells_how_long_it_waited(ends: Ends):
    await ends.caller.send(ask(), model=MODEL)
    await asyncio.sleep(0.05)
    [job] = await take(ends.first, "first")
    assert 0.04 < job.waited_s < 5


async def test_take_waits_for_a_request_that_comes(ends: Ends):
    taking = asyncio.create_task(ends.first.take(model=MODEL, worker_id="first", limit=1, timeout_s=5))
    await asyncio.sleep(0.05)
    await ends.caller.send(ask(), model=MODEL)
    assert ids(await asyncio.wait_for(taking, 30)) == ["request-1"]


async def test_replies_are_read_in_order_and_a_second_writer_is_refused(ends: Ends):
    ticket = await ends.caller.send(ask(), model=MODEL)
    assert await ends.first.reply(ticket, number=1, reply=Accepted("first"))
    assert await ends.first.reply(ticket, number=1, reply=Accepted("first")), "a repeated write is harmless"
    assert not await ends.second.reply(ticket, number=1, reply=Accepted("second"))
    assert await ends.first.reply(ticket, number=2, reply=Deltas((ContentDelta("a"),)))
    read = await ends.caller.receive(ticket, after=1, timeout_s=1)
    assert [(one.number, one.reply) for one in read] == [(2, Deltas((ContentDelta("a"),)))]


async def test_a_fault_comes_after_every_reply_and_ends_the_request(ends: Ends):
    ticket = await ends.caller.send(ask(), model=MODEL)
    await ends.first.reply(ticket, number=1, reply=Accepted("first"))
    await ends.second.fail(ticket, reply=BROKEN)
    assert not await ends.first.reply(ticket, number=2, reply=Deltas((ContentDelta("late"),)))
    replies = [one.reply for one in await ends.caller.receive(ticket, after=0, timeout_s=1)]
    assert replies == [Accepted("first"), BROKEN]
    assert not await ends.caller.is_queued(ticket)


async def test_an_abort_takes_the_request_out_and_is_heard(ends: Ends):
    heard = ends.first.aborts()
    hearing = asyncio.create_task(_first_named(heard))
    await asyncio.sleep(0.1)
    ticket = await ends.caller.send(ask(), model=MODEL)
    await ends.caller.abort(ticket)
    assert await asyncio.wait_for(hearing, 30) == "request-1"
    assert await ends.first.is_aborted("request-1")
    assert not await ends.caller.is_queued(ticket)
    assert await take(ends.first, "first") == []
    await heard.aclose()


async def _first_named(aborts: AsyncGenerator[str, None]) -> str:
    async for request_id in aborts:
        if request_id:
            return request_id
    raise AssertionError("aborts end only when they are closed")


async def test_a_reader_shows_that_it_reads(ends: Ends):
    await ends.caller.send(ask(), model=MODEL)
    assert await ends.first.unread(["request-1", "unknown"]) == {"unknown"}


# ---- a conversation goes where its beginning is cached


async def converse(ends: Ends, **changes) -> str:
    """Who gets the second question of a conversation whose first one the worker `first` took."""
    await ends.caller.send(ask(LONG, id="question"), model=MODEL)
    assert ids(await take(ends.first, "first")) == ["question"]
    return (
        await ends.caller.send(ask(LONG, "An answer.", "And then?", id="next", **changes), model=MODEL)
    ).owner


async def test_a_conversation_goes_back_to_its_worker(ends: Ends):
    assert await converse(ends) == "first"
    assert await take(ends.second, "second") == []
    assert ids(await take(ends.first, "first")) == ["next"]
    assert await ends.caller.num_requests(MODEL) == 2


async def test_another_tenant_shares_no_cache(ends: Ends):
    assert await converse(ends, tenant="other") == ""


async def test_a_conversation_moves_on_from_a_worker_that_is_too_busy(ends: Ends):
    await ends.beat("first", num_running=6)
    assert await converse(ends) == ""


@pytest.mark.parametrize("state", [WorkerState.DRAINING, WorkerState.LOADING])
async def test_a_conversation_moves_on_from_a_worker_that_takes_nothing(ends: Ends, state: WorkerState):
    await ends.beat("third")
    await ends.beat("first", state)
    assert await converse(ends) == ""


async def test_a_conversation_moves_on_from_a_dead_worker_and_stays_there(ends: Ends):
    await ends.beat("third")
    assert await converse(ends) == "first"
    await ends.die("first")
    again = ask(LONG, "An answer.", "And then?", id="again")
    assert (await ends.caller.send(again, model=MODEL)).owner == ""
    assert ids(await take(ends.second, "second")) == ["again"]
    assert (await ends.caller.send(again, model=MODEL)).owner == "second"


# ---- what a worker had when it died, or gives back


async def test_what_waits_for_a_dead_worker_is_taken_over_as_if_new(ends: Ends):
    assert await converse(ends) == "first"
    assert await take_over(ends.second, "second") == []
    await ends.die("first")
    jobs = await take_over(ends.second, "second")
    assert sorted(ids(jobs)) == ["next", "question"]
    assert [(job.num_replies, job.has_begun) for job in jobs] == [(0, False)] * 2
    assert await take_over(ends.second, "second") == []
    for job in jobs:
        assert await ends.caller.is_queued(job.ticket), "the reader's ticket stays good"
        await ends.second.done(job.ticket)
    assert await ends.caller.num_requests(MODEL) == 0


async def test_what_was_accepted_but_not_begun_is_answered_by_another_with_dense_numbers(ends: Ends):
    await ends.caller.send(ask(), model=MODEL)
    [lost] = await take(ends.first, "first")
    await ends.first.reply(lost.ticket, number=1, reply=Accepted("first"))
    await ends.die("first")
    [job] = await take_over(ends.second, "second")
    assert (job.num_replies, job.has_begun) == (1, False)
    assert await ends.second.reply(job.ticket, number=2, reply=Accepted("second"))
    assert not await ends.first.reply(lost.ticket, number=2, reply=Deltas((ContentDelta("not so dead"),)))
    assert await ends.second.reply(job.ticket, number=3, reply=Deltas((ContentDelta("a"),)))
    assert await numbers(ends, job) == [1, 2, 3]


async def test_what_was_begun_is_known_to_be(ends: Ends):
    await ends.caller.send(ask(), model=MODEL)
    [lost] = await take(ends.first, "first")
    await ends.first.reply(lost.ticket, number=1, reply=Accepted("first"))
    await ends.first.reply(lost.ticket, number=2, reply=Deltas((ContentDelta("half"),)))
    await ends.die("first")
    [job] = await take_over(ends.second, "second")
    assert (job.num_replies, job.has_begun) == (2, True)


async def test_two_that_take_over_at_once_do_not_both_get_it(ends: Ends):
    for number in range(4):
        await ends.caller.send(ask(id=f"r{number}"), model=MODEL)
    await take(ends.first, "first")
    await ends.die("first")
    await ends.beat("third")
    taken = await asyncio.gather(
        take_over(ends.second, "second", limit=3), take_over(ends.first, "third", limit=3)
    )
    assert sorted(ids(taken[0] + taken[1])) == ["r0", "r1", "r2", "r3"]


async def test_what_is_handed_back_goes_to_others_and_what_is_at_hand_stays(ends: Ends):
    for number in range(3):
        await ends.caller.send(ask(id=f"r{number}"), model=MODEL)
    jobs = await take(ends.first, "first")
    kept = {jobs[1].ticket.entry_id}
    await ends.first.hand_back(model=MODEL, worker_id="first", at_hand=kept)
    assert ids(await take_over(ends.second, "second")) == ["r0", "r2"]
    assert await take_over(ends.first, "first", at_hand=tuple(kept)) == []


async def test_what_waits_for_a_draining_worker_goes_to_others_and_what_it_has_stays(ends: Ends):
    assert await converse(ends) == "first"
    await ends.beat("first", WorkerState.DRAINING)
    assert ids(await take_over(ends.second, "second")) == ["next"]


async def test_what_never_reached_its_worker_is_handed_to_it_again(ends: Ends):
    await ends.caller.send(ask(), model=MODEL)
    [job] = await take(ends.first, "first")
    at_hand = (job.ticket.entry_id,)
    again: list[Job] = []
    async with asyncio.timeout(5):
        while not again:
            assert await take_over(ends.first, "first", at_hand=at_hand) == []
            again = await take_over(ends.first, "first")
    assert (again[0].ticket, again[0].has_begun) == (job.ticket, False)


async def test_nothing_is_kept_of_requests_that_are_over(ends: Ends):
    assert await converse(ends) == "first"
    for job in (*await take_over(ends.second, "second"), *await take(ends.first, "first")):
        await ends.first.done(job.ticket)
        await ends.caller.forget(job.ticket)
    await ends.die("first")
    await ends.die("second")
    await ends.beat("third")
    [question] = await take_over(ends.first, "third")
    await ends.first.done(question.ticket)
    assert await ends.caller.num_requests(MODEL) == 0
    assert [one.worker_id for one in await ends.caller.workers()] == ["third"]
