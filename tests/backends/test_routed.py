"""Several upstreams of one model: who is asked, who next, who rests, and that nothing is said twice."""

import asyncio
from collections import Counter
from contextlib import aclosing

import pytest

from inference.backends.base import (
    BackendMisconfigured,
    BackendOverloaded,
    BackendUnavailable,
    RequestRejected,
    StreamBroken,
)
from inference.backends.routed import FIRST_REST_S, MOST_FAILURES, Breaker, Route, RoutedBackend
from inference.backends.scripted import Script, ScriptedBackend
from inference.schema import ChatDelta, ChatRequest, Finished, FinishReason
from tests.backends.asking import Answer, ask, collect
from tests.backends.stands import ProviderStand
from tests.backends.upstream import Provider, serve


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting(ScriptedBackend):
    """Plays `lines`, which may be set anew, and keeps what it was asked."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        self.asked: list[ChatRequest] = []
        super().__init__(Script.of("text: ok"))
        self._load = lambda: Script.of(*self.lines)

    async def stream(self, request: ChatRequest):
        self.asked.append(request)
        async with aclosing(super().stream(request)) as deltas:
            async for delta in deltas:
                yield delta


@pytest.fixture
def clock() -> Clock:
    return Clock()


def route(name: str, backend, clock, **options) -> Route:
    return Route(name=name, backend=backend, model=f"{name}-model", breaker=Breaker(clock), **options)


@pytest.mark.parametrize("fault", ["unavailable", "overloaded"])
async def test_the_next_is_asked_when_the_first_fails_before_its_first_word(clock, fault):
    first, second = Counting(f"error: {fault} for a reason"), Counting("text: from the second")
    told = []
    routed = RoutedBackend(
        [route("a", first, clock), route("b", second, clock, rank=1)],
        on_fault=lambda route, error: told.append((route.name, type(error).__name__)),
    )
    assert (await collect(routed, ask())).content == "from the second"
    assert [request.model for request in (*first.asked, *second.asked)] == ["a-model", "b-model"]
    assert told == [("a", f"Backend{fault.capitalize()}")]


async def test_what_was_said_is_not_said_again_by_another(clock):
    second = Counting("text: from the second")
    routed = RoutedBackend(
        [route("a", Counting("text: so far", "break:"), clock), route("b", second, clock, rank=1)]
    )
    answer = Answer()
    with pytest.raises(StreamBroken):
        await collect(routed, ask(), into=answer)
    assert answer.content.strip() == "so far"
    assert second.asked == []


async def test_a_fault_of_the_request_is_nobody_elses(clock):
    second = Counting("text: never")
    routed = RoutedBackend(
        [route("a", Counting("error: rejected for a reason"), clock), route("b", second, clock, rank=1)]
    )
    with pytest.raises(RequestRejected):
        await collect(routed, ask())
    assert second.asked == []


async def test_a_wrong_key_is_the_operators_fault_and_another_is_asked(clock):
    class Locked(Counting):
        async def stream(self, request: ChatRequest):
            raise BackendMisconfigured("a refused the key it was given")
            yield  # what makes it a generator

    routed = RoutedBackend([route("a", Locked(), clock), route("b", Counting("text: from b"), clock, rank=1)])
    assert (await collect(routed, ask())).content == "from b"


async def test_when_all_fail_the_first_ones_fault_is_told(clock):
    routed = RoutedBackend(
        [
            route("a", Counting("error: overloaded here"), clock),
            route("b", Counting("error: unavailable there"), clock, rank=1),
        ]
    )
    with pytest.raises(BackendOverloaded, match="here"):
        await collect(routed, ask())


async def test_who_keeps_failing_rests_and_is_tried_with_one_request(clock):
    first, second = Counting("error: unavailable"), Counting("text: from b")
    routed = RoutedBackend([route("a", first, clock), route("b", second, clock, rank=1)])
    for _ in range(MOST_FAILURES + 5):
        assert (await collect(routed, ask())).content == "from b"
    assert len(first.asked) == MOST_FAILURES, "it rests"

    clock.now += FIRST_REST_S
    first.lines = ("wait: 30", "text: back again")
    trial = asyncio.create_task(collect(routed, ask()))
    while len(first.asked) == MOST_FAILURES:
        await asyncio.sleep(0)
    assert (await collect(routed, ask())).content == "from b", "one trial at a time"
    trial.cancel()
    await asyncio.wait([trial])

    first.lines = ("error: unavailable still",)
    assert (await collect(routed, ask())).content == "from b"
    clock.now += FIRST_REST_S
    asked = len(first.asked)
    await collect(routed, ask())
    assert len(first.asked) == asked, "a failed trial doubles the rest"
    clock.now += FIRST_REST_S
    first.lines = ("text: back again",)
    for _ in range(2):
        assert (await collect(routed, ask())).content == "back again"


async def test_who_asks_for_a_pause_gets_it_at_once(clock):
    first, second = Counting("error: overloaded"), Counting("text: from b")
    routed = RoutedBackend([route("a", first, clock), route("b", second, clock, rank=1)])
    for _ in range(3):
        await collect(routed, ask())
    assert len(first.asked) == 1
    clock.now += 61
    first.lines = ("text: from a",)
    assert (await collect(routed, ask())).content == "from a"


async def test_when_all_rest_they_are_asked_all_the_same(clock):
    first, second = Counting("error: unavailable"), Counting("error: unavailable")
    routed = RoutedBackend([route("a", first, clock), route("b", second, clock, rank=1)])
    for _ in range(MOST_FAILURES + 1):
        with pytest.raises(BackendUnavailable):
            await collect(routed, ask())
    second.lines = ("text: from b",)
    assert (await collect(routed, ask())).content == "from b"


async def test_who_says_nothing_for_too_long_is_left_unless_nobody_else_is_there(clock):
    slow = Counting("wait: 0.3", "text: at last")
    routed = RoutedBackend(
        [
            route("a", slow, clock, patience_s=0.05),
            route("b", Counting("text: from b"), clock, rank=1),
        ]
    )
    assert (await collect(routed, ask())).content == "from b"
    alone = RoutedBackend([route("a", slow, clock, patience_s=0.05)])
    assert (await collect(alone, ask())).content == "at last"


async def test_conversations_are_spread_by_weight_and_stay_where_they_began(clock):
    backends = {name: Counting("text: ok") for name in "abc"}
    routed = RoutedBackend(
        [
            route(name, backends[name], clock, weight=weight)
            for name, weight in {"a": 1, "b": 1, "c": 2}.items()
        ]
    )
    for number in range(400):
        await collect(routed, ask(f"question {number}", tenant="t"))
    share = Counter({name: len(backend.asked) for name, backend in backends.items()})
    assert 60 < share["a"] < 140
    assert 60 < share["b"] < 140
    assert 150 < share["c"] < 250
    for backend in backends.values():
        before = list(backend.asked)
        for request in before[:5]:
            text = request.messages[0].content
            later = ask(text, tenant="t", messages=(*request.messages, *request.messages))
            await collect(routed, later)
        assert len(backend.asked) == len(before) + len(before[:5])


async def test_leaving_closes_the_stream_far_away(clock):
    with serve(Provider()) as provider:
        stand = ProviderStand(provider)
        stand.play("pace: 50", "text: one two three four five six seven eight nine ten")
        routed = RoutedBackend([route("a", stand.backend, clock)])
        async with aclosing(routed.stream(ask())) as deltas:
            first: ChatDelta = await anext(deltas)
            assert not isinstance(first, Finished)
        await asyncio.wait_for(stand.seen_closed(), 20)
        await routed.aclose()


async def test_it_is_ready_when_any_is_and_finishes_as_the_upstream_did(clock):
    with serve(Provider()) as provider:
        stand = ProviderStand(provider)
        routed = RoutedBackend(
            [route("away", Counting("error: unavailable"), clock), route("b", stand.backend, clock, rank=1)]
        )
        assert await routed.is_ready()
        stand.play("text: done")
        answer = await collect(routed, ask())
        assert answer.finished.reason is FinishReason.STOP
        await routed.aclose()
    with pytest.raises(ValueError, match="upstream"):
        RoutedBackend([])


def test_calls_that_fail_together_make_it_rest_but_once() -> None:
    now = 0.0
    breaker = Breaker(lambda: now)
    for _ in range(20):
        breaker.begin()
    for _ in range(20):
        breaker.fail()
    assert breaker.rests_for_s == FIRST_REST_S
    now = FIRST_REST_S
    breaker.begin()
    breaker.fail()
    assert breaker.rests_for_s == 2 * FIRST_REST_S
