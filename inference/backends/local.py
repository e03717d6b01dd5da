"""The model served by our own inference workers, reached through the request queue."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from inference.backends.base import (
    BackendError,
    BackendOverloaded,
    BackendUnavailable,
    RequestRejected,
    StreamBroken,
)
from inference.request_queue.messages import (
    READER_TTL_S,
    Accepted,
    Fault,
    Heartbeat,
    Numbered,
    Reply,
    Ticket,
    WorkerState,
)
from inference.request_queue.redis_streams import RedisTransport
from inference.request_queue.transport import CallerTransport, TransportLost
from inference.schema import ChatDelta, ChatRequest, Finished

_POLL_S = 0.25
_CHECK_S = 0.5
# So long a request waits for a worker when there is none any more: one that restarts is back by then.
_SUCCESSOR_S = 8.0
_ABORT_PATIENCE_S = 2.0
_MAX_REQUESTS = 512


class LocalBackend:
    """A `ChatBackend` on the request queue. One instance belongs to one event loop."""

    def __init__(
        self,
        *,
        model: str,
        redis_url: str = "",
        transport: CallerTransport | None = None,
        max_requests: int = _MAX_REQUESTS,
        priority: int = 0,
    ) -> None:
        """Over Redis, or over the transport given; either is closed with the backend. `priority` is added to
        that of each request."""
        self._transport = transport or RedisTransport(redis_url)
        self._model = model
        self._max_requests = max_requests
        self._priority = priority

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        try:
            await self._admit()
            ranked = msgspec.structs.replace(request, priority=request.priority + self._priority)
            ticket = await self._transport.send(ranked, model=self._model)
        except TransportLost as error:
            raise BackendUnavailable(str(error)) from error
        is_over = False
        is_left = asyncio.Event()
        pulse = asyncio.create_task(self._pulse(ticket, is_left))
        try:
            async for delta in _Reader(self._transport, ticket).deltas():
                is_over = isinstance(delta, Finished)
                yield delta
        except TransportLost as error:
            raise StreamBroken(str(error)) from error
        finally:
            is_left.set()
            pulse.cancel()
            await self._let_go(ticket, is_over=is_over)

    async def is_ready(self) -> bool:
        try:
            return any(_is_serving(worker) for worker in await self._transport.workers(self._model))
        except TransportLost:
            return False

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _admit(self) -> None:
        """Raise rather than queue a request that nobody would answer soon."""
        workers = await self._transport.workers(self._model)
        if not any(_is_serving(worker) for worker in workers):
            raise BackendUnavailable(_absence(self._model, workers))
        if await self._transport.num_requests(self._model) >= self._max_requests:
            raise BackendOverloaded(
                "The model is busy with other requests. Try again soon.", retry_after_s=5.0
            )

    async def _pulse(self, ticket: Ticket, is_left: asyncio.Event) -> None:
        """Tell the worker that somebody reads, however slowly; a reader that dies falls silent."""
        with suppress(TransportLost):
            while not is_left.is_set():
                await asyncio.sleep(READER_TTL_S / 8)
                await self._transport.keep_reading(ticket)

    async def _let_go(self, ticket: Ticket, *, is_over: bool) -> None:
        # A queue that is away cannot be told: the reader's sign of life runs out and the worker stops.
        with suppress(TransportLost, TimeoutError):
            async with asyncio.timeout(_ABORT_PATIENCE_S):
                await (self._transport.forget(ticket) if is_over else self._transport.abort(ticket))


class _Reader:
    """Reads one request's replies to the end, and finds out when nothing more will come."""

    def __init__(self, transport: CallerTransport, ticket: Ticket) -> None:
        self._transport = transport
        self._ticket = ticket
        self._number = 0
        self._worker_id = ""
        self._has_begun = False
        self._checked_at = self._served_at = time.monotonic()

    async def deltas(self) -> AsyncGenerator[ChatDelta, None]:
        while True:
            for numbered in await self._next():
                for delta in self._accept(numbered):
                    yield delta
                    if isinstance(delta, Finished):
                        return

    async def _next(self) -> list[Numbered]:
        replies = await self._receive(_POLL_S)
        if replies or time.monotonic() - self._checked_at < _CHECK_S:
            return replies
        self._checked_at = time.monotonic()
        fault = await self._find_fault()
        if fault is None:
            return []
        # The last replies may have been written between the read and the check.
        if replies := await self._receive(0.001):
            return replies
        raise fault

    async def _receive(self, timeout_s: float) -> list[Numbered]:
        return await self._transport.receive(self._ticket, after=self._number, timeout_s=timeout_s)

    def _accept(self, numbered: Numbered) -> tuple[ChatDelta, ...]:
        reply: Reply = numbered.reply
        if isinstance(reply, Fault):
            raise _error(reply)
        if numbered.number != self._number + 1:
            raise StreamBroken("The request queue lost a part of the answer. Try again.")
        self._number = numbered.number
        if isinstance(reply, Accepted):
            self._worker_id = reply.worker_id
            return ()
        self._has_begun = True
        return reply.deltas

    async def _find_fault(self) -> BackendError | None:
        workers = await self._transport.workers(self._ticket.model)
        if self._transport.was_lost_lately():
            return None
        if not await self._transport.is_queued(self._ticket):
            return StreamBroken("The request queue lost the request. Try again.")
        if any(worker.worker_id == self._worker_id for worker in workers):
            return None
        if self._has_begun:
            return StreamBroken("The inference worker stopped in the middle of the answer.")
        # Not begun: another worker will take it over.
        if any(_is_serving(worker) for worker in workers):
            self._served_at = self._checked_at
        if self._checked_at - self._served_at < _SUCCESSOR_S:
            return None
        return BackendUnavailable(_absence(self._ticket.model, workers))


def _is_serving(worker: Heartbeat) -> bool:
    return worker.state is WorkerState.READY


def _absence(model: str, workers: list[Heartbeat]) -> str:
    loading = [worker for worker in workers if worker.state is WorkerState.LOADING]
    if loading:
        progress = max(worker.progress for worker in loading)
        return f"The model {model} is loading ({progress:.0%}). Try again in a moment."
    return f"No inference worker serves {model} at the moment. Start one, or choose another model."


def _error(fault: Fault) -> BackendError:
    if fault.kind == "rejected":
        return RequestRejected(fault.message)
    if fault.kind == "overloaded":
        return BackendOverloaded(fault.message, retry_after_s=fault.retry_after_s)
    return StreamBroken(fault.message)
