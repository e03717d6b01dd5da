"""The one writer of a turn's event log: says what happens in the turn, and has it written behind its back."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import redis.asyncio
from django.conf import settings
from redis.exceptions import NoScriptError, RedisError

from agents.happenings import Happening
from agents.tool import ToolResult
from chat import frames
from chat.events import LogTaken, LogUnreachable, Shown, encode, end, heeding, log_key
from chat.frames import Event, PlainEvent
from inference.schema import ToolCall

COALESCE_S = 0.04
MAX_COALESCE_S = 0.2
COALESCE_CHARS = 256
MOST_PIECE_CHARS = 5_000  # of one event, whatever JSON makes of them
GATHER_S = 0.01  # between two writes
SECONDS_WITHOUT_REDIS = 60.0
RETRY_S = 0.1
TRIM_EVERY = 5_000
MAX_WAITING = 500  # events that Redis has not taken yet: then who speaks waits

# Appends events only where they belong, right after their predecessor, and publishes them only if they were
# appended. Answers with -1, or with the log's last number where that is another.
APPEND = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local tail = 0
if #last > 0 then tail = tonumber(string.match(last[1][1], '^%d+')) end
local first = tonumber(ARGV[1])
if ARGV[3] == '' and tail ~= first - 1 then return tail end
if tail >= first then return tail end
for at = 4, #ARGV do
  redis.call('XADD', KEYS[1], string.format('%d-0', first + at - 4), 'e', ARGV[at])
  redis.call('PUBLISH', KEYS[1], ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return -1
"""
APPEND_SHA = hashlib.sha1(APPEND.encode(), usedforsecurity=False).hexdigest()


@dataclass
class _Pending:
    """Text that waits for more of its kind, or for the clock."""

    event: type[frames.ReasoningPiece] | type[frames.ContentPiece]
    step: int
    text: str


Stored = Callable[[], Awaitable[Sequence[PlainEvent]]]


class TurnLog:
    """The log as its one writer sees it: an `agents.steps.reply.Listener`.

    What is said gets its number at once and is written behind the caller's back, many events in one go;
    `flush` waits for it. Text is coalesced: the first piece of each kind goes out at once, further ones after
    40 ms (longer when Redis is slow) or 256 characters. While Redis is away events wait, for up to a minute;
    when it comes back without the log, a snapshot takes the log's place: what is `stored`, then what was said
    since the last step began. LogTaken and LogUnreachable are raised by whatever is said next, save what must
    be kept whatever happens: results and notes.
    """

    def __init__(
        self,
        connection: "redis.asyncio.Redis[bytes]",
        turn_id: UUID,
        *,
        last_seq: int,
        stored: Stored | None = None,
    ) -> None:
        self.last_seq = last_seq
        self._connection = connection
        self._turn_id = turn_id
        self._stored = stored
        self._recent = Shown()
        self._written = last_seq
        self._outbox: list[bytes] = []
        self._writer: asyncio.Task[None] | None = None
        self._wrote_at = 0.0
        self._is_urgent = asyncio.Event()  # somebody waits until all is written
        self._fault: LogTaken | LogUnreachable | None = None
        self._pending: _Pending | None = None
        self._seen: tuple[type[Event], int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._coalesce_s = COALESCE_S
        self._step_before = self._step_began = self._trimmed_to = last_seq

    # ---- agents.steps.reply.Listener

    async def turn_started(self) -> None:
        self._say(frames.TurnStarted(at_ms=_now_ms()))

    async def step_started(self, step: int) -> None:
        self._check()
        self._say(frames.StepStarted(step=step, at_ms=_now_ms()))
        self._seen = None
        if self._stored is not None:
            self._recent.forget_before(step)  # it is stored
        await self._trim()

    async def reasoning(self, step: int, text: str) -> None:
        await self._say_text(frames.ReasoningPiece, step, text)

    async def reasoning_finished(self, step: int, *, duration_ms: int, num_tokens: int) -> None:
        self._say(frames.ReasoningFinished(step=step, duration_ms=duration_ms, num_tokens=num_tokens))

    async def content(self, step: int, text: str) -> None:
        await self._say_text(frames.ContentPiece, step, text)

    async def tool_call_started(self, step: int, call: ToolCall) -> None:
        self._check()
        self._say(frames.ToolCallStarted(step=step, id=call.id, name=call.name, arguments=call.arguments))

    async def tool_call_finished(
        self, step: int, call: ToolCall, result: ToolResult, *, duration_ms: int
    ) -> None:
        self._say(
            frames.ToolCallFinished(
                step=step,
                id=call.id,
                result=result.for_user or result.for_model,
                is_error=result.is_error,
                duration_ms=duration_ms,
                is_cached=result.is_cached,
                num_files=len(result.artifacts),
            )
        )

    async def happened(self, event: Happening) -> None:
        self._say(event)

    # ---- the rest of a turn

    async def turn_finished(self, event: frames.TurnFinished) -> None:
        self._say(event)
        await self.flush()

    def go_on_from(self, seq: int) -> None:
        """The log's last number, before anything was said."""
        self.last_seq = self._written = seq
        self._step_before = self._step_began = self._trimmed_to = seq

    async def show_again(self, *, last_seq: int) -> None:
        """Begin the log anew, numbers going on after `last_seq`, with all that is to be shown."""
        self.go_on_from(last_seq)
        await self._write_snapshot()

    async def flush(self) -> None:
        """Send the text that waits, and wait until all that was said is in the log."""
        self.send_text()
        self._is_urgent.set()
        while self._writer is not None and not self._writer.done():
            await asyncio.wait({self._writer})
        self._is_urgent.clear()
        self._check()

    async def close(self) -> None:
        """Send nothing more. Text that waits is dropped: `flush` first."""
        if self._timer is not None:
            self._timer.cancel()
        self._pending = None
        if self._writer is not None:
            await end(self._writer)

    # ---- saying

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault

    async def _say_text(
        self, event: type[frames.ReasoningPiece] | type[frames.ContentPiece], step: int, text: str
    ) -> None:
        self._check()
        if not text:
            return
        if self._seen != (event, step):
            self._seen = (event, step)
            self.send_text()
            self._put_text(_Pending(event, step, text))
        elif self._pending is None:
            self._pending = _Pending(event, step, text)
        else:
            self._pending.text += text
        if self._pending is not None and len(self._pending.text) >= COALESCE_CHARS:
            self.send_text()
        elif self._pending is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._coalesce_s, self.send_text)
        if len(self._outbox) > MAX_WAITING:
            await self.flush()

    def _say(self, event: PlainEvent) -> None:
        self.send_text()
        self._put(event)

    def send_text(self) -> None:
        """Give the text that waits its number now. What is committed with `last_seq` has then been said, or
        is known to be missing in the log when somebody takes over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (pending := self._pending) is not None:
            self._pending = None
            self._put_text(pending)

    def _put_text(self, pending: _Pending) -> None:
        """A model may say a megabyte in one breath: no event carries more than fits a frame of 32 kB."""
        for start in range(0, len(pending.text), MOST_PIECE_CHARS):
            piece = pending.text[start : start + MOST_PIECE_CHARS]
            self._put(pending.event(step=pending.step, text=piece))

    def _put(self, event: PlainEvent) -> None:
        self._recent.add(event)
        self.last_seq += 1
        if isinstance(event, frames.StepStarted):
            self._step_before, self._step_began = self._step_began, self.last_seq
        self._outbox.append(encode(event, turn_id=self._turn_id, seq=self.last_seq))
        if self._fault is None and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write())

    # ---- writing

    async def _write(self) -> None:
        try:
            while self._outbox:
                await self._gather()
                began = time.monotonic()
                entries, self._outbox = self._outbox, []
                await self._append(entries)
                self._wrote_at = time.monotonic()
                # A Redis or a reader that lags gets fewer, larger events.
                self._coalesce_s = min(max(COALESCE_S, 4 * (time.monotonic() - began)), MAX_COALESCE_S)
        except (LogTaken, LogUnreachable) as fault:
            self._fault = fault

    async def _gather(self) -> None:
        """Right after a write, wait for more to write: each costs more than what it carries."""
        time_left = self._wrote_at + GATHER_S - time.monotonic()
        if time_left > 0 and not self._is_urgent.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_urgent.wait(), time_left)

    async def _append(self, entries: list[bytes]) -> None:
        answer = await self._append_at(self._written + 1, entries)
        if answer == -1:
            self._written += len(entries)
        elif answer > self._written:
            raise LogTaken(f"turn {self._turn_id}: wrote {self._written}, the log has {answer}")
        else:
            # Redis came back with less than it had. Readers go on from what the turn shows by now.
            await self._write_snapshot()

    async def _write_snapshot(self) -> None:
        shown = Shown(await self._stored() if self._stored is not None else ())
        for event in self._recent.events:
            shown.add(event)
        self._outbox = []  # it shows what they would have
        self.last_seq += 1
        seq = self.last_seq
        entry = encode(frames.TurnSnapshot(events=shown.events), turn_id=self._turn_id, seq=seq)
        answer = await self._append_at(seq, [entry], may_jump=True)
        if answer != -1:
            raise LogTaken(f"turn {self._turn_id}: wrote {self._written}, the log has {answer}")
        self._written = seq

    async def _append_at(self, first: int, entries: list[bytes], *, may_jump: bool = False) -> int:
        """Append, again until Redis answers: -1, or the log's last number when they do not belong there.

        When the reply to an append was lost, the second try finds it done: its own number is the log's last.
        """
        gives_up_at = time.monotonic() + SECONDS_WITHOUT_REDIS
        tries = 0
        while True:
            tries += 1
            try:
                answer = await heeding(self._run_append(first, entries, may_jump=may_jump))
            except RedisError as error:
                if time.monotonic() > gives_up_at:
                    raise LogUnreachable(f"turn {self._turn_id}: no Redis for a minute") from error
                await asyncio.sleep(RETRY_S)
                continue
            is_own = answer == first + len(entries) - 1 and tries > 1
            return -1 if is_own and await self._is_last(entries[-1]) else answer

    async def _run_append(self, first: int, entries: list[bytes], *, may_jump: bool) -> int:
        ttl_ms = settings.EVENT_LOG_TTL_S * 1000
        arguments = [log_key(self._turn_id), first, ttl_ms, "jump" if may_jump else "", *entries]
        execute: Callable[..., Awaitable[int]] = self._connection.execute_command
        try:
            return await execute("EVALSHA", APPEND_SHA, 1, *arguments)
        except NoScriptError:
            return await execute("EVAL", APPEND, 1, *arguments)

    async def _is_last(self, entry: bytes) -> bool:
        last = await self._connection.xrevrange(log_key(self._turn_id), count=1)
        return bool(last) and last[0][1][b"e"] == entry

    async def _trim(self) -> None:
        """Of a long log keep the last two steps: readers who come later get a snapshot of what the database
        has."""
        if self.last_seq - self._trimmed_to > TRIM_EVERY:
            self._trimmed_to = self._step_before
            with suppress(RedisError):  # a log that is too long for a while harms nobody
                await self._connection.xtrim(
                    log_key(self._turn_id), minid=f"{self._step_before}-0", approximate=False
                )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
