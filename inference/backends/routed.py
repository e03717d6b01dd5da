"""One model served by several backends: who is asked first, and who next when that one fails.

An upstream is left only before the first delta: what has been said is not said again by another. The lower
rank is asked first; within a rank the requests of one conversation go to one upstream, for its prefix cache,
and conversations are spread by weight. One that keeps failing rests, then is tried with one request.
"""

import asyncio
import hashlib
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import msgspec

from inference.backends.base import (
    BackendError,
    BackendMisconfigured,
    BackendOverloaded,
    BackendUnavailable,
    ChatBackend,
    StreamBroken,
)
from inference.schema import ChatDelta, ChatRequest, Role

MOST_FAILURES = 3  # one after another, then it rests
FIRST_REST_S, LONGEST_REST_S = 10.0, 300.0
_LONGEST_WAIT_S = 60.0  # that a busy upstream is left alone, whatever it asks for
_ANOTHER_MAY_DO = (BackendUnavailable, BackendOverloaded, BackendMisconfigured, StreamBroken)


class Breaker:
    """Whether an upstream is asked now. Shared by all that ask it in this process, in any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._num_failures = 0
        self._rest_s = FIRST_REST_S
        self._rests_until = 0.0
        self._is_on_trial = False
        self._has_a_trial = False

    @property
    def rests_for_s(self) -> float:
        """Seconds until it may be tried again; 0 while it is asked as ever."""
        return max(0.0, self._rests_until - self._clock())

    def is_open(self) -> bool:
        """True while it is not to be asked: it rests, or the one request that tries it is under way."""
        with self._lock:
            return self.rests_for_s > 0 or (self._is_on_trial and self._has_a_trial)

    def begin(self) -> None:
        """A request is sent."""
        with self._lock:
            self._has_a_trial = self._is_on_trial

    def hear(self) -> None:
        """It answers: whatever was, it is well again."""
        with self._lock:
            self._is_on_trial = self._has_a_trial = False
            self._rest_s = FIRST_REST_S

    def finish(self) -> None:
        """It answered to the end."""
        with self._lock:
            self._num_failures = 0

    def let_go(self) -> None:
        """The request ended before anything was heard, by who asked."""
        with self._lock:
            self._has_a_trial = False

    def fail(self, *, rest_s: float | None = None) -> None:
        """It failed; or it asked to be left alone for `rest_s`."""
        with self._lock:
            self._num_failures += 1
            was_on_trial, self._has_a_trial = self._is_on_trial, False
            if self.rests_for_s > 0:
                return  # it was asked before its rest began, or for want of another: that tells nothing new
            if rest_s is not None:
                self._rest(min(rest_s, _LONGEST_WAIT_S))
            elif was_on_trial or self._num_failures >= MOST_FAILURES:
                self._rest(self._rest_s)
                self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)

    def _rest(self, rest_s: float) -> None:
        self._is_on_trial = True
        self._rests_until = self._clock() + rest_s


@dataclass(frozen=True, kw_only=True)
class Route:
    """One of a model's upstreams. `model` is its name there; `patience_s`, how long its first word may take
    before the next upstream is asked."""

    name: str
    backend: ChatBackend
    model: str
    breaker: Breaker
    rank: int = 0
    weight: int = 1
    patience_s: float | None = None


class RoutedBackend:
    """A `ChatBackend` over several. Faults of the request itself are raised as they are."""

    def __init__(
        self, routes: Sequence[Route], *, on_fault: Callable[[Route, BackendError], None] = lambda *_: None
    ) -> None:
        """`on_fault` is told of each failure, before the next upstream is asked; it must not wait."""
        if not routes:
            raise ValueError("A model needs an upstream.")
        self._routes = tuple(routes)
        self._on_fault = on_fault

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """The deltas of the first upstream that answers. When none does, raises what the first one raised."""
        faults: list[BackendError] = []
        *others, last = self._order(request)
        for route in (*others, replace(last, patience_s=None)):
            answer = self._ask(route, request)
            try:
                first = await anext(answer)
            except _ANOTHER_MAY_DO as fault:
                faults.append(fault)
                continue
            async with aclosing(answer):
                yield first
                async for delta in answer:
                    yield delta
            return
        raise faults[0]

    async def is_ready(self) -> bool:
        for route in sorted(self._routes, key=lambda route: route.rank):
            if await route.backend.is_ready():
                return True
        return False

    async def aclose(self) -> None:
        for route in self._routes:
            await route.backend.aclose()

    async def _ask(self, route: Route, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        route.breaker.begin()
        try:
            there = msgspec.structs.replace(request, model=route.model)
            async with aclosing(route.backend.stream(there)) as deltas:
                yield await _first(deltas, route)
                async for delta in deltas:
                    yield delta
            route.breaker.finish()
        except _ANOTHER_MAY_DO as fault:
            route.breaker.fail(rest_s=fault.retry_after_s if isinstance(fault, BackendOverloaded) else None)
            self._on_fault(route, fault)
            raise
        finally:
            route.breaker.let_go()

    def _order(self, request: ChatRequest) -> list[Route]:
        """All of them: the well ones by rank, the others after them by when their rest is over."""
        key = _prefix_of(request)

        def place(route: Route) -> tuple[bool, float, float, float]:
            is_open = route.breaker.is_open()
            rests_for_s = route.breaker.rests_for_s if is_open else 0.0
            return is_open, rests_for_s, route.rank, -_score(route, key)

        return sorted(self._routes, key=place)


async def _first(deltas: AsyncGenerator[ChatDelta, None], route: Route) -> ChatDelta:
    try:
        async with asyncio.timeout(route.patience_s) as patience:
            first = await anext(deltas)
    except TimeoutError:
        if not patience.expired():
            raise
        raise BackendUnavailable(f"{route.name} said nothing within {route.patience_s:g} s.") from None
    except StopAsyncIteration:
        raise StreamBroken(f"{route.name} ended the answer before it began.") from None
    route.breaker.hear()
    return first


def _prefix_of(request: ChatRequest) -> bytes:
    """What the requests of one conversation share: its name, or else how it begins."""
    if request.cache_key:
        return f"{request.tenant}\0{request.cache_key}".encode()
    asked = next((message.content for message in request.messages if message.role is Role.USER), "")
    return f"{request.tenant}\0{asked}".encode(errors="replace")


def _score(route: Route, key: bytes) -> float:
    """Weighted rendezvous hashing: the highest of a rank is asked, and each as often as its weight says.
    (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005.)"""
    digest = hashlib.blake2b(key, digest_size=8, key=hashlib.sha256(route.name.encode()).digest()).digest()
    drawn = (int.from_bytes(digest) + 1) / (2**64 + 1)
    return -route.weight / math.log(drawn)
