"""The request queue within one process and one event loop: the same promises without Redis."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection

from inference.request_queue.messages import Fault, Heartbeat, Job, Numbered, Reply, Ticket
from inference.schema import ChatRequest


class InProcessTransport:
    """Both ends of the queue; callers and workers share one instance."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: defaultdict[str, list[Job]] = defaultdict(list)
        self._queued: dict[str, str] = {}  # request id → model
        self._replies: defaultdict[str, list[Numbered]] = defaultdict(list)
        self._heartbeats: dict[str, Heartbeat] = {}
        self._aborted: set[str] = set()
        self._listeners: list[asyncio.Queue[str]] = []
        self._changed = asyncio.Condition()

    # ---- the caller's end

    async def workers(self, model: str | None = None) -> list[Heartbeat]:
        return [one for one in self._heartbeats.values() if model is None or one.model == model]

    async def num_requests(self, model: str) -> int:
        return list(self._queued.values()).count(model)

    async def send(self, request: ChatRequest, *, model: str) -> Ticket:
        ticket = Ticket(model=model, request_id=request.id, entry_id=str(next(self._numbers)))
        self._waiting[model].append(Job(ticket=ticket, request=request))
        self._queued[request.id] = model
        await self._tell()
        return ticket

    async def receive(self, ticket: Ticket, *, after: int, timeout_s: float) -> list[Numbered]:
        def unread() -> list[Numbered]:
            return [reply for reply in self._replies[ticket.request_id] if reply.number > after]

        await self._wait(lambda: bool(unread()), timeout_s)
        return unread()

    async def is_queued(self, ticket: Ticket) -> bool:
        return ticket.request_id in self._queued

    async def keep_reading(self, ticket: Ticket) -> None:
        """Within one process a reader that goes says so."""

    async def abort(self, ticket: Ticket) -> None:
        waiting = self._waiting[ticket.model]
        waiting[:] = [job for job in waiting if job.ticket != ticket]
        self._aborted.add(ticket.request_id)
        for listener in self._listeners:
            listener.put_nowait(ticket.request_id)
        await self.done(ticket)
        await self.forget(ticket)

    async def forget(self, ticket: Ticket) -> None:
        self._replies.pop(ticket.request_id, None)

    def was_lost_lately(self) -> bool:
        return False

    # ---- the worker's end

    async def take(self, *, model: str, worker_id: str, limit: int, timeout_s: float) -> list[Job]:
        waiting = self._waiting[model]
        await self._wait(lambda: bool(waiting), timeout_s)
        taken, waiting[:] = waiting[:limit], waiting[limit:]
        return taken

    async def take_over(self, *, model: str, worker_id: str, at_hand: Collection[str]) -> list[Job]:
        return []

    async def reply(self, ticket: Ticket, *, number: int, reply: Reply) -> bool:
        replies = self._replies[ticket.request_id]
        if any(one.number == number and one.reply != reply for one in replies):
            return False
        replies.append(Numbered(number=number, reply=reply))
        await self._tell()
        return True

    async def fail(self, ticket: Ticket, *, reply: Fault) -> None:
        replies = self._replies[ticket.request_id]
        replies.append(Numbered(number=len(replies) + 1, reply=reply))
        await self.done(ticket)
        await self._tell()

    async def done(self, ticket: Ticket) -> None:
        self._queued.pop(ticket.request_id, None)
        self._aborted.discard(ticket.request_id)

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
        return set()

    async def beat(self, heartbeat: Heartbeat) -> None:
        self._heartbeats[heartbeat.worker_id] = heartbeat

    async def leave(self, heartbeat: Heartbeat) -> None:
        self._heartbeats.pop(heartbeat.worker_id, None)

    # ---- both

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, is_due: Callable[[], bool], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(is_due)
        except TimeoutError:
            return
