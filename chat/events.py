"""The event log of a turn: one writer, dense numbers from 1, kept in a Redis Stream and published in the same
breath.

Knows what an event looks like and where it lies; not what a turn is or who listens.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from agents.happenings import Happening
from agents.tool import ToolResult
from chat import frames
from chat.frames import Event, PlainEvent
from inference.schema import ToolCall

logger = logging.getLogger(__name__)

COALESCE_S = 0.04
MAX_COALESCE_S = 0.2
COALESCE_CHARS = 256
SECONDS_WITHOUT_REDIS = 60.0
RETRY_S = 0.1
CANCEL_TTL_S = 3_600
TRIM_EVERY = 5_000

# Appends an event only where it belongs, right after its predecessor, and publishes it only if it was
# appended. Answers with -1, or with the log's last number where that is another.
APPEND = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local tail = 0
if #last > 0 then tail = tonumber(string.match(last[1][1], '^%d+')) end
if ARGV[4] == '' and tail ~= tonumber(ARGV[1]) - 1 then return tail end
if tail >= tonumber(ARGV[1]) then return tail end
redis.call('XADD', KEYS[1], ARGV[1] .. '-0', 'e', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', KEYS[1], ARGV[2])
return -1
"""
APPEND_SHA = hashlib.sha1(APPEND.encode(), usedforsecurity=False).hexdigest()


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


async def read(
    connection: "redis.asyncio.Redis[bytes]", turn_id: UUID, *, after: int = 0, count: int | None = None
) -> list[bytes]:
    """The events of the log with numbers above `after`, in order, as JSON; the first `count` of them."""
    entries = await connection.xrange(log_key(turn_id), min=f"({after}-0", count=count)
    return [fields[b"e"] for _, fields in entries]


async def tail(connection: "redis.asyncio.Redis[bytes]", turn_id: UUID) -> int:
    """The number of the log's last event; 0 when there is none."""
    last = await connection.xrevrange(log_key(turn_id), count=1)
    return int(last[0][0].split(b"-")[0]) if last else 0


def encode(event: Event, *, turn_id: UUID, seq: int) -> bytes:
    return msgspec.json.encode({"turn": str(turn_id), "seq": seq} | _plain(event))


def decode(entry: bytes) -> Event:
    return _DECODER.decode(entry)


def _plain(event: Event) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(event)
    return plain


T = TypeVar("T")


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which a cancellation does not cut short: it is raised when the work is done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


# ---- what the events so far show


class Shown:
    """The shortest list of events that shows what a longer one showed: pieces joined, void steps gone."""

    def __init__(self, events: Sequence[PlainEvent] = ()) -> None:
        self._events: list[PlainEvent] = []
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        if isinstance(event, frames.TurnSnapshot):
            self._events = list(event.events)
        elif isinstance(event, frames.StepStarted):
            if self._events and _step_of(self._events[-1]) >= event.step:
                self._events = [old for old in self._events if _step_of(old) < event.step]
            self._events.append(event)
        elif isinstance(event, frames.ReasoningPiece | frames.ContentPiece):
            self._append_text(event)
        else:
            self._events.append(event)

    @property
    def events(self) -> list[PlainEvent]:
        return list(self._events)

    def _append_text(self, event: frames.ReasoningPiece | frames.ContentPiece) -> None:
        last = self._events[-1] if self._events else None
        if isinstance(last, type(event)) and last.step == event.step:
            self._events[-1] = msgspec.structs.replace(last, text=last.text + event.text)
        else:
            self._events.append(event)


def _step_of(event: PlainEvent) -> int:
    """The step an event belongs to; 0 for the turn's own."""
    return getattr(event, "step", 0)


# ---- the writer


@dataclass
class _Pending:
    """Text that waits for more of its kind, or for the clock."""

    event: type[frames.ReasoningPiece] | type[frames.ContentPiece]
    step: int
    text: str


class TurnLog:
    """The log as its one writer sees it: an `agents.reply.Listener`.

    Text is coalesced: the first piece of each kind goes out at once, further ones after 40 ms (longer when
    Redis is slow) or 256 characters. While Redis is away events wait, for up to a minute; when it comes back
    without the log, a snapshot takes the log's place. Raises LogTaken and LogUnreachable.
    """

    def __init__(
        self, connection: "redis.asyncio.Redis[bytes]", turn_id: UUID, *, last_seq: int, shown: Shown
    ) -> None:
        self.last_seq = last_seq
        self._connection = connection
        self._turn_id = turn_id
        self._shown = shown
        self._pending: _Pending | None = None
        self._seen: tuple[type[Event], int] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._coalesce_s = COALESCE_S
        self._step_began = self._trimmed_to = last_seq

    async def turn_started(self) -> None:
        await self._publish(frames.TurnStarted(at_ms=_now_ms()))

    async def step_started(self, step: int) -> None:
        await self._publish(frames.StepStarted(step=step, at_ms=_now_ms()))

    async def reasoning(self, step: int, text: str) -> None:
        await self._say(frames.ReasoningPiece, step, text)

    async def reasoning_finished(self, step: int, *, duration_ms: int, num_tokens: int) -> None:
        await self._publish(
            frames.ReasoningFinished(step=step, duration_ms=duration_ms, num_tokens=num_tokens)
        )

    async def content(self, step: int, text: str) -> None:
        await self._say(frames.ContentPiece, step, text)

    async def tool_call_started(self, step: int, call: ToolCall) -> None:
        await self._publish(
            frames.ToolCallStarted(step=step, id=call.id, name=call.name, arguments=call.arguments)
        )

    async def tool_call_finished(
        self, step: int, call: ToolCall, result: ToolResult, *, duration_ms: int
    ) -> None:
        await self._publish(
            frames.ToolCallFinished(
                step=step,
                id=call.id,
                result=result.for_user or result.for_model,
                is_error=result.is_error,
                duration_ms=duration_ms,
                is_cached=result.is_cached,
            )
        )

    async def happened(self, event: Happening) -> None:
        await self._publish(event)

    async def turn_finished(self, event: frames.TurnFinished) -> None:
        await self._publish(event)

    async def show_again(self, *, last_seq: int) -> None:
        """Begin the log anew, numbers going on after `last_seq`, with all that is to be shown."""
        async with self._lock:
            self.last_seq = last_seq
            await self._append_snapshot()

    async def flush(self) -> None:
        """Send the text that waits."""
        await _to_the_end(self._flush_now())

    async def _flush_now(self) -> None:
        async with self._lock:
            await self._send_pending()

    async def close(self) -> None:
        """Send nothing more by the clock. Text that waits is dropped: `flush` first."""
        if self._timer is not None:
            self._timer.cancel()
            with suppress(asyncio.CancelledError, LogTaken, LogUnreachable):
                await self._timer

    async def _say(
        self, event: type[frames.ReasoningPiece] | type[frames.ContentPiece], step: int, text: str
    ) -> None:
        if not text:
            return
        if self._seen != (event, step):
            self._seen = (event, step)
            await self._publish(event(step=step, text=text))
            return
        if self._pending is None:
            self._pending = _Pending(event, step, text)
        else:
            self._pending.text += text
        if len(self._pending.text) >= COALESCE_CHARS:
            await self.flush()
        elif self._timer is None or self._timer.done():
            self._raise_fault()
            self._timer = asyncio.create_task(self._flush_later())

    async def _flush_later(self) -> None:
        await asyncio.sleep(self._coalesce_s)
        await self.flush()

    def _raise_fault(self) -> None:
        """A flush by the clock that failed must not fail unheard."""
        if self._timer is not None and self._timer.done() and not self._timer.cancelled():
            self._timer.result()

    async def _publish(self, event: PlainEvent) -> None:
        # Whole or not at all: text that a reply counts as said must be in the log, whatever is cancelled
        # meanwhile.
        await _to_the_end(self._publish_now(event))

    async def _publish_now(self, event: PlainEvent) -> None:
        async with self._lock:
            await self._send_pending()
            await self._append(event)
            if isinstance(event, frames.StepStarted):
                self._seen = None
                await self._trim()

    async def _trim(self) -> None:
        """Of a long log keep the last two steps: readers who come later get a snapshot of what the database
        has."""
        step_before, self._step_began = self._step_began, self.last_seq
        if self.last_seq - self._trimmed_to > TRIM_EVERY:
            self._trimmed_to = step_before
            with suppress(RedisError):  # a log that is too long for a while harms nobody
                await self._connection.xtrim(
                    log_key(self._turn_id), minid=f"{step_before}-0", approximate=False
                )

    async def _send_pending(self) -> None:
        if (pending := self._pending) is None:
            return
        self._pending = None
        began = time.monotonic()
        await self._append(pending.event(step=pending.step, text=pending.text))
        # A Redis or a reader that lags gets fewer, larger events.
        self._coalesce_s = min(max(COALESCE_S, 4 * (time.monotonic() - began)), MAX_COALESCE_S)

    async def _append(self, event: PlainEvent) -> None:
        self._shown.add(event)
        answer = await self._append_at(event, self.last_seq + 1)
        if answer == -1:
            self.last_seq += 1
        elif answer > self.last_seq:
            raise LogTaken(f"turn {self._turn_id}: wrote {self.last_seq}, the log has {answer}")
        else:
            # Redis came back with less than it had. Readers go on from what the turn shows by now.
            await self._append_snapshot()

    async def _append_snapshot(self) -> None:
        snapshot = frames.TurnSnapshot(events=self._shown.events)
        answer = await self._append_at(snapshot, self.last_seq + 1, may_jump=True)
        if answer != -1:
            raise LogTaken(f"turn {self._turn_id}: wrote {self.last_seq}, the log has {answer}")
        self.last_seq += 1

    async def _append_at(self, event: Event, seq: int, *, may_jump: bool = False) -> int:
        """Append, again until Redis answers: -1, or the log's last number when the event does not belong
        there.

        When the reply to an append was lost, the second try finds it done: its own number is the log's last.
        """
        entry = encode(event, turn_id=self._turn_id, seq=seq)
        gives_up_at = time.monotonic() + SECONDS_WITHOUT_REDIS
        tries = 0
        while True:
            tries += 1
            try:
                answer = await self._run_append(entry, seq, may_jump=may_jump)
            except RedisError as error:
                if time.monotonic() > gives_up_at:
                    raise LogUnreachable(f"turn {self._turn_id}: no Redis for a minute") from error
                await asyncio.sleep(RETRY_S)
                continue
            if answer == seq and tries > 1 and await self._is_last(entry):
                return -1
            return answer

    async def _run_append(self, entry: bytes, seq: int, *, may_jump: bool) -> int:
        ttl_ms = settings.EVENT_LOG_TTL_S * 1000
        arguments = [log_key(self._turn_id), str(seq), entry, str(ttl_ms), "jump" if may_jump else ""]
        execute: Callable[..., Awaitable[int]] = self._connection.execute_command
        try:
            return await execute("EVALSHA", APPEND_SHA, 1, *arguments)
        except NoScriptError:
            return await execute("EVAL", APPEND, 1, *arguments)

    async def _is_last(self, entry: bytes) -> bool:
        last = await self._connection.xrevrange(log_key(self._turn_id), count=1)
        return bool(last) and last[0][1][b"e"] == entry


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
