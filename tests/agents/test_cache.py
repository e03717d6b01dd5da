"""What one has paid for, nobody pays for again: one contract, on Redis and in memory."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from agents.tool import (
    Caching,
    Effect,
    Fault,
    Intent,
    NewPassage,
    Scope,
    ToolContext,
    ToolResult,
    ToolUsage,
    Traits,
    Trust,
    Waiting,
    WaitingFor,
)
from agents.tool_cache import Entry, ToolCache
from agents.tool_cache.in_memory import InMemoryToolCache
from agents.tool_cache.redis_cache import RedisToolCache
from agents.tool_cache.single_flight import SingleFlight
from agents.tooling.toolset import Toolset
from inference.schema import ToolSpec

FETCHED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]
EIGHT_PROCESSES = """
import asyncio, sys
from tests.agents.test_cache import Search, call, RedisToolCache
async def main():
    async with RedisToolCache.opened(sys.argv[1]) as cache:
        result = await call(cache, Search(name="processes", seconds=1.5), key=sys.argv[2])
        print("cached" if result.is_cached else "paid")
asyncio.run(main())
"""


@dataclass
class Search:
    """Counts what it is paid for."""

    name: str = "search"
    seconds: float = 0.0
    caching: Caching | None = Caching(ttl_s=60, scope=Scope.EVERYBODY)
    effect: Effect = Effect.NONE
    version: str = "1"
    result: ToolResult | Waiting | None = None
    times: int = 0
    spec: ToolSpec = field(init=False)

    def __post_init__(self) -> None:
        self.spec = ToolSpec(name=self.name, description="", parameters={"type": "object"})

    @property
    def traits(self) -> Traits:
        return Traits(
            version=self.version, effect=self.effect, caching=self.caching, trust=Trust.WEB, timeout_s=10
        )

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | Waiting:
        self.times += 1
        await asyncio.sleep(self.seconds)
        passage = NewPassage(source="https://a.example", title="A", text="text", fetched_at=FETCHED_AT)
        return self.result or ToolResult(
            for_model=f"found {self.times}", passages=(passage,), usage=ToolUsage(cost_nano=7)
        )


@pytest.fixture(params=["redis", "memory"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[ToolCache]:
    async with opened(request.param) as cache:
        yield cache


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[ToolCache]:
    if kind == "memory":
        yield InMemoryToolCache()
        return
    async with RedisToolCache.opened(settings.REDIS_URL) as cache:
        yield cache


@pytest.fixture
def key() -> str:
    """A question that no other test asks."""
    return f"{time.time_ns()}"


async def call(
    cache: ToolCache | None,
    tool: Search,
    *,
    key: str,
    is_fresh: bool = False,
    **context: str,
) -> ToolResult:
    toolset = Toolset([tool], cache=cache, is_fresh=is_fresh)
    arguments = key if key.startswith("{") else f'{{"query": "{key}"}}'
    intent = Intent(step=1, index=0, call_id="c", name=tool.name, arguments=arguments, key="k")
    result = await toolset.run(intent, ToolContext(key="k", **context))  # type: ignore[arg-type]
    assert isinstance(result, ToolResult)
    return result


async def test_the_second_who_asks_pays_nothing_and_gets_the_same_as_old_as_it_is(cache, key):
    tool = Search(seconds=0.05)
    first, second = [await call(cache, tool, key=key) for _ in range(2)]
    assert tool.times == 1
    assert not first.is_cached
    assert second.made_at is not None
    assert (second.for_model, second.passages, second.trust) == ("found 1", first.passages, Trust.WEB)
    assert second.passages[0].fetched_at == FETCHED_AT
    assert (second.usage.cost_nano, second.saved.cost_nano) == (0, 7)
    assert second.saved_ms >= 50


async def test_eight_who_ask_at_once_pay_once(cache, key):
    tool = Search(seconds=0.3)
    results = await asyncio.gather(*(call(cache, tool, key=key) for _ in range(8)))
    assert tool.times == 1
    assert sorted(result.is_cached for result in results) == [False] + [True] * 7


async def test_a_result_that_found_nothing_is_kept_for_a_minute_at_most(cache, key):
    kept: list[float] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(cache, name)

        async def write(self, key: str, entry: Entry, *, number: int, ttl_s: float) -> bool:
            kept.append(ttl_s)
            return bool(await cache.write(key, entry, number=number, ttl_s=ttl_s))

    nothing = Search(
        caching=Caching(ttl_s=86_400), result=ToolResult(for_model="nothing", found_nothing=True)
    )
    await call(Watched(), nothing, key=key)
    assert kept == [60]
    assert (await call(cache, nothing, key=key)).is_cached


@pytest.mark.parametrize(
    "tool",
    [
        Search(result=ToolResult(for_model="away", is_error=True, fault=Fault.FAILED)),
        Search(caching=None),
        Search(effect=Effect.LOCAL),
    ],
    ids=["an error", "no caching", "an effect"],
)
async def test_what_may_not_be_kept_is_run_again(cache, key, tool):
    tool.times = 0
    for _ in range(2):
        assert not (await call(cache, tool, key=key)).is_cached
    assert tool.times == 2


async def test_a_call_that_waits_is_not_kept(cache, key):
    tool = Search(result=Waiting(waiting_for=WaitingFor.JOB))
    toolset = Toolset([tool], cache=cache)
    intent = Intent(step=1, index=0, call_id="c", name="search", arguments=f'{{"q": "{key}"}}', key="k")
    for _ in range(2):
        assert isinstance(await toolset.run(intent, ToolContext(key="k")), Waiting)
    assert tool.times == 2


async def test_what_is_kept_ends_with_its_time(cache, key):
    tool = Search(caching=Caching(ttl_s=0.1))
    await call(cache, tool, key=key)
    await asyncio.sleep(0.15)
    assert not (await call(cache, tool, key=key)).is_cached


async def test_a_turn_that_wants_it_fresh_pays_for_itself_and_for_those_after_it(cache, key):
    tool = Search()
    await call(cache, tool, key=key)
    fresh = await call(cache, tool, key=key, is_fresh=True)
    assert (fresh.is_cached, fresh.for_model) == (False, "found 2")
    assert (await call(cache, tool, key=key)).for_model == "found 2"


@pytest.mark.parametrize(
    ("scope", "shares", "does_not"),
    [
        (Scope.TURN, {"turn_id": "agent", "top_turn_id": "1", "tenant": "x"}, {"turn_id": "2"}),
        (Scope.USER, {"turn_id": "2", "tenant": "alice"}, {"turn_id": "1", "tenant": "bob"}),
        (Scope.EVERYBODY, {"turn_id": "2", "tenant": "bob"}, None),
    ],
)
async def test_a_result_is_shared_among_those_it_is_for_only(cache, key, scope, shares, does_not):
    tool = Search(caching=Caching(ttl_s=60, scope=scope))
    await call(cache, tool, key=key, turn_id="1", tenant="alice")
    assert (await call(cache, tool, key=key, **shares)).is_cached
    if does_not:
        assert not (await call(cache, tool, key=key, **does_not)).is_cached


async def test_the_same_question_is_one_however_it_is_written_and_another_version_is_another(cache, key):
    tool = Search()
    await call(cache, tool, key=f'{{"q": "{key}", "n": 5, "deep": {{"a": 1, "b": 2.0}}}}')
    again = f'{{"deep": {{"b": 2, "a": 1.0}}, "n": 5e0, "q": "{key}"}}'
    assert (await call(cache, tool, key=again)).is_cached
    other = f'{{"q": "{key}", "n": "5", "deep": {{"a": 1, "b": 2}}}}'
    assert not (await call(cache, tool, key=other)).is_cached
    for changed in (Search(version="2"), Search(caching=Caching(ttl_s=60, vary=("index 2",)))):
        assert not (await call(cache, changed, key=again)).is_cached


async def test_when_the_one_who_runs_it_dies_the_next_takes_over_and_the_dead_can_write_nothing(cache, key):
    number = await cache.lock(key, lock_s=0.2)
    assert number is not None
    flight = SingleFlight(cache=cache, key=key, ttl_s=60, patience_s=10, lock_s=0.2)
    tool = Search()
    result = await flight.result(lambda: tool.run({}, ToolContext(key="k")))
    assert isinstance(result, ToolResult)
    assert result.for_model == "found 1"
    late = Entry(result=ToolResult(for_model="late"), made_at=FETCHED_AT, took_ms=1)
    assert not await cache.keep_lock(key, number, lock_s=60)
    assert not await cache.write(key, late, number=number, ttl_s=60)
    kept = await cache.read(key)
    assert kept
    assert kept.result.for_model == "found 1"


async def test_a_run_that_takes_longer_than_its_lock_keeps_it(cache, key):
    tool = Search(seconds=1.0)

    def flight() -> SingleFlight:
        return SingleFlight(cache=cache, key=key, ttl_s=60, patience_s=10, lock_s=0.3)

    await asyncio.gather(*(flight().result(lambda: tool.run({}, ToolContext(key="k"))) for _ in range(3)))
    assert tool.times == 1


async def test_one_who_is_cancelled_or_fails_leaves_the_lock_to_the_next(cache, key):
    slow = asyncio.create_task(call(cache, Search(seconds=30), key=key))
    await asyncio.sleep(0.1)
    slow.cancel()
    began = time.monotonic()
    assert not (await call(cache, Search(), key=key)).is_cached
    assert time.monotonic() - began < 10


async def test_nobody_waits_for_another_longer_than_the_tool_may_take(cache, key):
    await cache.lock(key, lock_s=60)
    tool = Search()
    flight = SingleFlight(cache=cache, key=key, ttl_s=60, patience_s=0.1)
    assert await flight.result(lambda: tool.run({}, ToolContext(key="k")))
    assert tool.times == 1


def test_eight_threads_with_loops_of_their_own_pay_once(key):
    tool, in_memory = Search(seconds=0.5), InMemoryToolCache()

    def ask(kind: str) -> None:
        async def main() -> None:
            async with opened(kind) as cache:
                await call(in_memory if kind == "memory" else cache, tool, key=f"{key}{kind}")

        asyncio.run(main())

    for kind in ("redis", "memory"):
        tool.times = 0
        threads = [threading.Thread(target=ask, args=(kind,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert tool.times == 1, kind


def test_processes_pay_once(key):
    command = [sys.executable, "-c", EIGHT_PROCESSES, settings.REDIS_URL, key]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert said == ["cached", "cached", "paid"]


async def test_without_redis_there_is_no_cache_and_no_fault(tmp_path, key):
    tool = Search()
    async with RedisToolCache.opened(f"unix://{tmp_path}/nobody.sock") as away:
        began = time.monotonic()
        for _ in range(20):
            assert not (await call(away, tool, key=key)).is_error
    assert tool.times == 20
    assert time.monotonic() - began < 10
