"""The port between callers and workers. Knows neither Redis nor the engine."""

from collections.abc import AsyncGenerator, Collection
from typing import Protocol

from inference.request_queue.messages import Fault, Heartbeat, Job, Numbered, Reply, Ticket
from inference.schema import ChatRequest


class TransportLost(Exception):
    """The queue could not be reached for as long as its adapter is patient."""


class CallerTransport(Protocol):
    """The caller's end. All methods raise `TransportLost`."""

    async def workers(self, model: str | None = None) -> list[Heartbeat]:
        """The living workers of a model, or of all."""
        ...

    async def num_requests(self, model: str) -> int:
        """How many requests are in the queue, those being answered included."""
        ...

    async def send(self, request: ChatRequest, *, model: str) -> Ticket:
        """Queue a request: for the worker that has its beginning cached, else for whichever is free first."""
        ...

    async def receive(self, ticket: Ticket, *, after: int, timeout_s: float) -> list[Numbered]:
        """The replies after number `after`; waits for the first, and returns none when none came in time."""
        ...

    async def is_queued(self, ticket: Ticket) -> bool:
        """False once a worker is done with the request, or when the queue lost it."""
        ...

    async def keep_reading(self, ticket: Ticket) -> None:
        """A sign of life of the reader; due well within READER_TTL_S."""
        ...

    async def abort(self, ticket: Ticket) -> None:
        """Take the request out of the queue and tell the worker that has it; its replies are dropped."""
        ...

    async def forget(self, ticket: Ticket) -> None:
        """Drop the replies of a request that was read to its end."""
        ...

    def was_lost_lately(self) -> bool:
        """True shortly after an outage of the queue: heartbeats may be missing though workers live."""
        ...

    async def aclose(self) -> None: ...


class WorkerTransport(Protocol):
    """The worker's end. All methods raise `TransportLost`."""

    async def workers(self, model: str | None = None) -> list[Heartbeat]:
        """As for callers."""
        ...

    async def take(self, *, model: str, worker_id: str, limit: int, timeout_s: float) -> list[Job]:
        """New requests, each handed to one worker alone: up to `limit` from the worker's own queue and as
        many from the one that all share. Waits for the first.
        """
        ...

    async def take_over(
        self, *, model: str, worker_id: str, at_hand: Collection[str], limit: int
    ) -> list[Job]:
        """Up to `limit` requests that others do not answer any more, each handed to one worker alone: what
        workers had that died or handed it back, what waits for one that is gone or draining, and this
        worker's own that never reached it, for they are not `at_hand` (entry ids).
        """
        ...

    async def hand_back(self, *, model: str, worker_id: str, at_hand: Collection[str]) -> None:
        """Leave to others whatever this worker was handed, save what is `at_hand` (entry ids)."""
        ...

    async def reply(self, ticket: Ticket, *, number: int, reply: Reply) -> bool:
        """Write reply `number`. A repeated call is harmless; False when another's reply has that number."""
        ...

    async def fail(self, ticket: Ticket, *, reply: Fault) -> None:
        """Write a last reply without knowing how many came before it, and be done with the request."""
        ...

    async def done(self, ticket: Ticket) -> None:
        """Take the answered request out of the queue."""
        ...

    def aborts(self) -> AsyncGenerator[str, None]:
        """Ids of requests to stop, as they come; "" after an outage, when some may have been missed."""
        ...

    async def is_aborted(self, request_id: str) -> bool: ...

    async def unread(self, request_ids: list[str]) -> set[str]:
        """Those of the requests whose reader has gone."""
        ...

    async def beat(self, heartbeat: Heartbeat) -> None: ...

    async def leave(self, heartbeat: Heartbeat) -> None:
        """The last act of a worker: its heartbeat goes at once."""
        ...

    async def aclose(self) -> None: ...


class Transport(CallerTransport, WorkerTransport, Protocol):
    """Both ends in one, as the adapters implement them."""
