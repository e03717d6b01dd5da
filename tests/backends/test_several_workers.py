"""Several workers on one queue, over Redis and within one process: who answers, and who takes over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from inference.backends.base import BackendOverloaded, BackendUnavailable, StreamBroken
from inference.backends.scripted import Reply
from inference.request_queue.in_process import InProcessTransport
from inference.schema import ChatMessage, Role
from tests.backends import stands
from tests.backends.asking import Answer, ask, collect
from tests.backends.stands import LocalStand

LONG = "Tell me a story that is long enough to be worth a block of the cache. " * 4


@pytest.fixture(params=["redis", "in_process"])
def within(request: pytest.FixtureRequest) -> InProcessTransport | None:
    """None: the queue is the run's Redis."""
    return InProcessTransport() if request.param == "in_process" else None


@pytest.fixture
async def pair(redis_url: str, within: InProcessTransport | None) -> AsyncIterator[list[LocalStand]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(stands.local_stand(redis_url, within=within)) for _ in range(2)
        ]


def play(pair: list[LocalStand], *lines: str | Reply) -> None:
    for stand in pair:
        stand.engine.step_s = 0.005
        stand.play(*lines)


def shares(pair: list[LocalStand]) -> list[int]:
    return [len(stand.engine.prompts) for stand in pair]


async def content(answer: Answer, text: str) -> None:
    async with asyncio.timeout(10):
        while answer.content != text:
            await asyncio.sleep(0.005)


async def who_has(pair: list[LocalStand], request_id: str) -> tuple[LocalStand, LocalStand]:
    """The stand that is running the request, and the other."""
    async with asyncio.timeout(5):
        while True:
            for stand, other in (pair, pair[::-1]):
                if request_id in stand.engine._playing:
                    return stand, other
            await asyncio.sleep(0.005)


async def test_each_request_is_answered_once(pair: list[LocalStand]):
    play(pair, "text: twelve chars")
    answers = await asyncio.gather(
        *(collect(pair[0].backend, ask(id=f"request-{number}")) for number in range(24))
    )
    assert [answer.content for answer in answers] == ["twelve chars"] * 24
    assert sum(shares(pair)) == 24
    assert min(shares(pair)) > 0


async def test_a_conversation_stays_with_the_worker_that_has_it_cached(pair: list[LocalStand]):
    play(pair, "text: ok")
    messages: tuple[ChatMessage, ...] = ()
    for number in range(6):
        question = ChatMessage(role=Role.USER, content=LONG if not messages else "Go on.")
        messages = (*messages, question)
        answer = await collect(pair[0].backend, ask(id=f"request-{number}", messages=messages))
        messages = (*messages, ChatMessage(role=Role.ASSISTANT, content=answer.content))
    assert sorted(shares(pair)) == [0, 6]


async def test_what_a_dead_worker_had_not_begun_is_answered_by_another(pair: list[LocalStand]):
    play(pair, "wait: 100", "text: late")
    reading = asyncio.create_task(collect(pair[0].backend, ask()))
    victim, other = await who_has(pair, "request-1")
    other.play("text: from the other")
    await victim.die()
    assert (await asyncio.wait_for(reading, 10)).content == "from the other"


async def test_what_a_dead_worker_had_begun_is_broken_and_not_answered_again(pair: list[LocalStand]):
    play(pair, "text: so far", "stall:")
    so_far = Answer()
    reading = asyncio.create_task(collect(pair[0].backend, ask(), into=so_far))
    await content(so_far, "so far")
    victim, other = await who_has(pair, "request-1")
    await victim.die()
    with pytest.raises(StreamBroken, match="stopped in the middle"):
        await asyncio.wait_for(reading, 10)
    assert so_far.content == "so far"
    assert shares([other]) == [0]


async def test_a_worker_that_drains_finishes_what_it_began_and_leaves_the_rest_to_another(
    redis_url: str, within: InProcessTransport | None
):
    async with stands.local_stand(redis_url, within=within) as old:
        play([old], Reply(when="begun", lines=("text: a", "wait: 0.5", "text: b")), Reply(lines=("stall:",)))
        so_far = Answer()
        begun = asyncio.create_task(collect(old.backend, ask("begun", id="begun"), into=so_far))
        waiting = [asyncio.create_task(collect(old.backend, ask(id=f"waiting-{n}"))) for n in range(3)]
        await content(so_far, "a")
        await who_has([old, old], "waiting-2")
        async with stands.local_stand(redis_url, within=within) as new:
            play([new], "text: from the new one")
            old.service.stop()
            answers = await asyncio.wait_for(asyncio.gather(begun, *waiting), 10)
    assert [answer.content for answer in answers] == ["ab", *["from the new one"] * 3]


async def test_a_worker_that_drains_alone_finishes_what_it_has(
    redis_url: str, within: InProcessTransport | None
):
    async with stands.local_stand(redis_url, within=within) as only:
        play([only], "wait: 0.3", "text: still here")
        reading = asyncio.create_task(collect(only.backend, ask()))
        await who_has([only, only], "request-1")
        only.service.stop()
        assert (await asyncio.wait_for(reading, 5)).content == "still here"


async def test_a_worker_alone_takes_more_for_its_engine_to_choose_from_and_less_beside_another(
    redis_url: str, within: InProcessTransport | None
):
    async with stands.local_stand(redis_url, within=within) as only:
        play([only], "stall:")
        reading = [asyncio.create_task(collect(only.backend, ask(id=f"r{n}"))) for n in range(40)]
        async with asyncio.timeout(10):
            while len(only.engine.prompts) < 40:
                await asyncio.sleep(0.02)
        async with stands.local_stand(redis_url, within=within) as other:
            play([other], "text: from the other")
            async with asyncio.timeout(10):
                while only.service._room > 0 or only.service._has_room.is_set():
                    await asyncio.sleep(0.02)
            answer = await asyncio.wait_for(collect(only.backend, ask(id="late")), 10)
            assert answer.content == "from the other"
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)


async def test_a_request_that_nobody_takes_over_is_said_to_be_unavailable(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("inference.backends.local._SUCCESSOR_S", 1.0)
    async with stands.in_process_stand(redis_url) as only:
        play([only], "wait: 100")
        reading = asyncio.create_task(collect(only.backend, ask()))
        await who_has([only, only], "request-1")
        await only.die()
        with pytest.raises(BackendUnavailable, match="No inference worker"):
            await asyncio.wait_for(reading, 10)


async def test_a_request_that_is_late_is_refused_or_broken_off_in_words(pair: list[LocalStand]):
    play(pair, "text: a", "wait: 100")
    so_far = Answer()
    with pytest.raises(StreamBroken, match=r"within the 0\.4 s"):
        await asyncio.wait_for(collect(pair[0].backend, ask(timeout_s=0.4), into=so_far), 5)
    assert so_far.content == "a"
    with pytest.raises(BackendOverloaded, match="within the 0 s"):
        await asyncio.wait_for(collect(pair[0].backend, ask(id="request-2", timeout_s=0.0)), 5)
