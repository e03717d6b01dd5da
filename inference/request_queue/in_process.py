"""The request queue within one process and one event loop: the same promises without Redis."""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, field

import msgspec

from inference.request_queue import affinity
from inference.request_queue.messages import (
    HEARTBEAT_TTL_S,
    READER_TTL_S,
    Accepted,
    Fault,
    Heartbeat,
    Job,
    Numbered,
    Reply,
    Ticket,
    WorkerState,
)
from inference.schema import ChatRequest

# After every reply's number.
_FAULT_NUMBER = 2**62
_LOST_AFTER_S = 1.5
_MOST_REMEMBERED = 10_000


@dataclass
class _Entry:
    """A queued request and the worker it was handed to; "" before that, and once it was handed back."""

    ticket: Ticket
    request: ChatRequest
    sent_at: float
    taker: str = ""
    taken_at: float = 0.0
    was_taken: bool = False


@dataclass
class _Replies:
    written: list[Numbered] = field(default_factory=list)

    @property
    def last_number(self) -> int:
        return self.written[-1].number if self.written else 0

    @property
    def have_begun(self) -> bool:
        return any(not isinstance(one.reply, Accepted) for one in self.written)


class InProcessTransport:
    """Both ends of the queue; callers and workers share one instance."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._entries: dict[str, _Entry] = {}  # by entry id, in the order of sending
        self._replies: defaultdict[str, _Replies] = defaultdict(_Replies)
        self._heartbeats: dict[str, tuple[Heartbeat, float]] = {}
        self._readers: dict[str, float] = {}
        self._prefixes: dict[tuple[str, str], str] = {}
        self._aborted: dict[str, None] = {}
        self._listeners: list[asyncio.Queue[str]] = []
        self._changed = asyncio.Condition()

    # ---- the caller's end

    async def workers(self, model: str | None = None) -> list[Heartbeat]:
        living = self._living().values()
        return [one for one in living if model is None or one.model == model]

    async def num_requests(self, model: str) -> int:
        return sum(entry.ticket.model == model for entry in self._entries.values())

    async def send(self, request: ChatRequest, *, model: str) -> Ticket:
        owner = self._choose(request, model) or ""
        ticket = Ticket(model=model, request_id=request.id, entry_id=str(next(self._numbers)), owner=owner)
        self._entries[ticket.entry_id] = _Entry(ticket, request, self._clock())
        self._readers[request.id] = self._clock()
        await self._tell()
        return ticket

    async def receive(self, ticket: Ticket, *, after: int, timeout_s: float) -> list[Numbered]:
        def unread() -> list[Numbered]:
            replies = self._replies.get(ticket.request_id)
            return [one for one in replies.written if one.number > after] if replies else []

        await self._wait(lambda: bool(unread()), timeout_s)
        return unread()

    async def is_queued(self, ticket: Ticket) -> bool:
        return ticket.entry_id in self._entries

    async def keep_reading(self, ticket: Ticket) -> None:
        self._readers[ticket.request_id] = self._clock()

    async def abort(self, ticket: Ticket) -> None:
        self._entries.pop(ticket.entry_id, None)
        self._aborted[ticket.request_id] = None
        while len(self._aborted) > _MOST_REMEMBERED:
            self._aborted.pop(next(iter(self._aborted)))
        for listener in self._listeners:
            listener.put_nowait(ticket.request_id)
        await self.forget(ticket)

    async def forget(self, ticket: Ticket) -> None:
        self._replies.pop(ticket.request_id, None)
        self._readers.pop(ticket.request_id, None)

    def was_lost_lately(self) -> bool:
        return False

    # ---- the worker's end

    async def take(self, *, model: str, worker_id: str, limit: int, timeout_s: float) -> list[Job]:
        def new(owner: str) -> list[_Entry]:
            return [
                entry
                for entry in self._entries.values()
                if not entry.was_taken and (entry.ticket.model, entry.ticket.owner) == (model, owner)
            ][:limit]

        await self._wait(lambda: bool(new(worker_id) or new("")), timeout_s)
        return [self._hand(entry, worker_id) for entry in (*new(worker_id), *new(""))]

    async def take_over(
        self, *, model: str, worker_id: str, at_hand: Collection[str], limit: int
    ) -> list[Job]:
        free = [
            entry
            for entry in self._entries.values()
            if entry.ticket.model == model and self._is_free(entry, worker_id, at_hand)
        ]
        return [self._inherited(self._hand(entry, worker_id)) for entry in free[:limit]]

    async def hand_back(self, *, model: str, worker_id: str, at_hand: Collection[str]) -> None:
        for entry in self._entries.values():
            if entry.taker == worker_id and entry.ticket.entry_id not in at_hand:
                entry.taker = ""

    async def reply(self, ticket: Ticket, *, number: int, reply: Reply) -> bool:
        replies = self._replies[ticket.request_id]
        if number <= replies.last_number:
            return Numbered(number=number, reply=reply) in replies.written
        replies.written.append(Numbered(number=number, reply=reply))
        await self._tell()
        return True

    async def fail(self, ticket: Ticket, *, reply: Fault) -> None:
        self._replies[ticket.request_id].written.append(Numbered(number=_FAULT_NUMBER, reply=reply))
        await self.done(ticket)
        await self._tell()

    async def done(self, ticket: Ticket) -> None:
        self._entries.pop(ticket.entry_id, None)
        if await self.unread([ticket.request_id]):
            await self.forget(ticket)  # nobody else will

    async def aborts(self) -> AsyncGenerator[str, None]:
        listener: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.append(listener)
        try:
            while True:
                yield await listener.get()
        finally:
            self._listeners.remove(listener)

    async def is_aborted(self, request_id: str) -> bool:
        return request_id in self._aborted

    async def unread(self, request_ids: list[str]) -> set[str]:
        since = self._clock() - READER_TTL_S
        return {one for one in request_ids if self._readers.get(one, since) <= since}

    async def beat(self, heartbeat: Heartbeat) -> None:
        self._heartbeats[heartbeat.worker_id] = (heartbeat, self._clock())

    async def leave(self, heartbeat: Heartbeat) -> None:
        self._heartbeats.pop(heartbeat.worker_id, None)

    # ---- both

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _living(self) -> dict[str, Heartbeat]:
        since = self._clock() - HEARTBEAT_TTL_S
        return {name: beat for name, (beat, at) in self._heartbeats.items() if at > since}

    def _choose(self, request: ChatRequest, model: str) -> str | None:
        digests = affinity.prefixes(request).to_find
        workers = [one for one in self._living().values() if one.model == model]
        owners = [entry.ticket.owner for entry in self._entries.values() if entry.ticket.model == model]
        return affinity.choose(
            [self._prefixes.get((model, digest)) for digest in digests],
            workers,
            num_queued={one.worker_id: owners.count(one.worker_id) for one in workers},
        )

    def _is_free(self, entry: _Entry, worker_id: str, at_hand: Collection[str]) -> bool:
        """Whether nobody answers the request any more, or ever will."""
        living = self._living()
        if entry.was_taken and entry.taker == worker_id:
            is_late = self._clock() - entry.taken_at >= _LOST_AFTER_S
            return is_late and entry.ticket.entry_id not in at_hand
        if entry.was_taken:
            return entry.taker not in living
        owner = living.get(entry.ticket.owner)
        return bool(entry.ticket.owner) and (owner is None or owner.state is WorkerState.DRAINING)

    def _hand(self, entry: _Entry, worker_id: str) -> Job:
        entry.was_taken, entry.taker, entry.taken_at = True, worker_id, self._clock()
        for digest in affinity.prefixes(entry.request).to_keep:
            self._prefixes[entry.ticket.model, digest] = worker_id
        while len(self._prefixes) > _MOST_REMEMBERED:
            self._prefixes.pop(next(iter(self._prefixes)))
        waited_s = self._clock() - entry.sent_at
        return Job(ticket=entry.ticket, request=entry.request, waited_s=waited_s)

    def _inherited(self, job: Job) -> Job:
        """With what another worker has replied already."""
        replies = self._replies.get(job.request.id)
        if replies is None:
            return job
        return msgspec.structs.replace(job, num_replies=replies.last_number, has_begun=replies.have_begun)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, is_due: Callable[[], bool], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(is_due)
        except TimeoutError:
            return
