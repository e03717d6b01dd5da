"""The event log of a turn: one writer, dense numbers from 1, kept in a Redis Stream and published in the same
breath.

Knows what an event looks like and where it lies; not what a turn is or who listens.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chat import frames
from chat.frames import Event, PlainEvent

logger = logging.getLogger(__name__)

CANCEL_TTL_S = 3_600
CANCEL_AGAIN_S = 0.2

_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class LogTaken(Exception):
    """Another writer has appended to this log since: this one must make sure that the turn is still its
    own."""


class LogUnreachable(Exception):
    """Redis stayed away for too long."""


class Entry(msgspec.Struct, frozen=True):
    """What every event of a log has; the rest is for who needs it."""

    turn: str
    seq: int
    type: str


def client() -> "redis.asyncio.Redis[bytes]":
    """A client for the running event loop. It never retries by itself: what a lost reply means is known here
    only."""
    return redis.asyncio.Redis.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 0))


def log_key(turn_id: UUID) -> str:
    """The stream, and the channel that its entries are published on."""
    return f"turn:{turn_id}:events"


def control_channel(turn_id: UUID) -> str:
    return f"turn:{turn_id}:control"


def cancel_key(turn_id: UUID) -> str:
    return f"turn:{turn_id}:cancel"


async def ask_to_stop(turn_id: UUID) -> None:
    """Tell the turn's worker, wherever it is. The database was told before; this is what makes it quick."""
    async with client() as connection, connection.pipeline() as pipe:
        pipe.set(cancel_key(turn_id), 1, ex=CANCEL_TTL_S)
        pipe.publish(control_channel(turn_id), "cancel")
        await pipe.execute()


async def forget(turn_ids: Sequence[UUID]) -> None:
    """Remove the logs of turns that are gone."""
    if turn_ids:
        async with client() as connection:
            keys = [key for turn_id in turn_ids for key in (log_key(turn_id), cancel_key(turn_id))]
            await connection.delete(*keys)


async def read(
    connection: "redis.asyncio.Redis[bytes]", turn_id: UUID, *, after: int = 0, count: int | None = None
) -> list[bytes]:
    """The events of the log with numbers above `after`, in order, as JSON; the first `count` of them."""
    entries = await heeding(connection.xrange(log_key(turn_id), min=f"({after}-0", count=count))
    return [fields[b"e"] for _, fields in entries]


async def tail(connection: "redis.asyncio.Redis[bytes]", turn_id: UUID) -> int:
    """The number of the log's last event; 0 when there is none."""
    last = await heeding(connection.xrevrange(log_key(turn_id), count=1))
    return int(last[0][0].split(b"-")[0]) if last else 0


def encode(event: Event, *, turn_id: UUID, seq: int) -> bytes:
    return msgspec.json.encode({"turn": str(turn_id), "seq": seq} | _plain(event))


def decode(entry: bytes) -> Event:
    return _DECODER.decode(entry)


def _plain(event: Event) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(event)
    return plain


T = TypeVar("T")


async def heeding(call: Awaitable[T]) -> T:
    """What the call answers; a cancellation that came meanwhile is raised: the client of Redis now and then
    swallows one, and whoever was cancelled would go on for ever."""
    task = asyncio.current_task()
    num_before = task.cancelling() if task else 0
    answer = await call
    if task is not None and task.cancelling() > num_before:
        raise asyncio.CancelledError
    return answer


async def end(*tasks: "asyncio.Task[None]") -> None:
    """Cancel them until they have ended, however often a cancellation is swallowed. No fault is raised."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


# ---- what the events so far show


class Shown:
    """The shortest list of events that shows what a longer one showed: pieces joined, void steps gone,
    nothing said twice."""

    def __init__(self, events: Sequence[PlainEvent] = ()) -> None:
        self._events: list[PlainEvent] = []
        self._pieces: list[str] = []  # of the last event, which is text that may go on
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        if isinstance(event, frames.ReasoningPiece | frames.ContentPiece):
            self._add_text(event)
            return
        self._join()
        if isinstance(event, frames.TurnSnapshot):
            self._events = list(event.events)
        elif isinstance(event, frames.StepStarted):
            while self._events and _step_of(self._events[-1]) >= event.step:
                self._events.pop()
            self._events.append(event)
        elif (place := self._place_of(event)) is not None:
            self._events[place] = event
        else:
            self._events.append(event)

    @property
    def events(self) -> list[PlainEvent]:
        self._join()
        return list(self._events)

    def forget_before(self, step: int) -> None:
        """Drop what was shown before this step, which has just begun."""
        self._join()
        self._events = [event for event in self._events[-1:] if _step_of(event) == step]

    def _add_text(self, event: frames.ReasoningPiece | frames.ContentPiece) -> None:
        last = self._events[-1] if self._events else None
        if isinstance(last, type(event)) and last.step == event.step:
            self._pieces = self._pieces or [last.text]
            self._pieces.append(event.text)
        else:
            self._join()
            self._events.append(event)

    def _join(self) -> None:
        if self._pieces:
            self._events[-1] = msgspec.structs.replace(self._events[-1], text="".join(self._pieces))
            self._pieces = []

    def _place_of(self, event: PlainEvent) -> int | None:
        """Where the same was said of this step before, by a worker that died."""
        step = _step_of(event)
        for place in range(len(self._events) - 1, -1, -1):
            if not step or _step_of(self._events[place]) < step:
                return None
            if _is_same(self._events[place], event):
                return place
        return None


def _step_of(event: PlainEvent) -> int:
    """The step an event belongs to; 0 for the turn's own."""
    return getattr(event, "step", 0)


def _is_same(first: PlainEvent, second: PlainEvent) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, frames.ToolCallStarted | frames.ToolCallFinished):
        return first.id == getattr(second, "id", None)
    return first == second
