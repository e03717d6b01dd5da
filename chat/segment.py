"""One segment of a turn: claim it, drive it for a while, and end it or leave it to the next segment.

The glue between the loop, which knows neither Django nor Redis, and the database, the event log and the
backend.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import ParamSpec, TypeVar
from uuid import UUID

import redis.asyncio
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import OperationalError
from django.utils import translation
from redis.exceptions import RedisError

from agents import loop
from agents.loop import BudgetExhausted, Outcome
from agents.reply import Reply
from agents.stopping import Interrupted, StopSignal, Why
from agents.tool import ToolResult
from agents.tools.calculate import Calculate
from agents.toolset import Toolset
from chat import events, history, resume, turns, wording
from chat.events import LogTaken, LogUnreachable, TurnLog
from chat.models import Turn
from inference.backends.base import BackendError, ChatBackend
from inference.schema import ChatRequest, FinishReason, ToolCall, ToolSpec, Usage
from webapp.billing import estimates, holds, limits, pricing
from webapp.catalog import backends
from webapp.catalog.models import ServedModel

logger = logging.getLogger(__name__)

RENEW_S = 1.0
KEEP_PLACE_S = 60.0
SEQ_JUMP = 10_000  # past whatever a lost log may have held that the database does not know of
MAX_CLAIMS_IN_VAIN = 20

P = ParamSpec("P")
T = TypeVar("T")


async def database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it in the thread that entered this event loop, whose database connection it uses."""
    return await sync_to_async(function)(*args, **kwargs)


def toolset_for(model: ServedModel, *, long_thinking: bool) -> Toolset:
    """The tools of a turn: they belong to Long Thinking, and to models that can call them."""
    return Toolset([Calculate()] if long_thinking and model.calls_tools else [])


def tool_specs(model: ServedModel, *, long_thinking: bool) -> tuple[ToolSpec, ...]:
    """What of the tools goes into the model's prompt."""
    return toolset_for(model, long_thinking=long_thinking).specs


async def drive(turn_id: UUID) -> bool:
    """Drive the turn for one segment; True when another is to follow. A turn that somebody holds is left
    alone."""
    fence = await database(turns.claim, turn_id)
    if fence is None:
        return False
    try:
        async with _Segment.open(turn_id, fence) as segment:
            return await segment.run()
    except turns.TurnLost:
        logger.info("turn %s: another worker has taken over, or it was deleted", turn_id)
    except LogTaken:
        # Its last writer was not dead yet. Begin again behind whatever it wrote.
        with suppress(turns.TurnLost):
            await database(turns.pause, turn_id, fence=fence)
            return True
    except (LogUnreachable, RedisError, OperationalError):
        logger.exception("turn %s: left to the sweep", turn_id)
    return False


async def announce(turn: Turn) -> None:
    """Publish the last event of a turn whose worker died just before."""
    async with events.client() as connection:
        shown = events.Shown(history.shown_events(turn, history.steps_of(turn)))
        log = TurnLog(connection, turn.id, last_seq=turn.last_seq - 1, shown=shown)
        with suppress(LogTaken):  # it was out already
            await log.turn_finished(history.finished_event(turn))
    await database(turns.announced, turn.id, fence=turn.fence)


class _Segment:
    """A claimed turn while it is driven."""

    def __init__(self, start: resume.Start, *, fence: int, connection: "redis.asyncio.Redis[bytes]") -> None:
        self._turn = start.turn
        self._progress = start.progress
        self._rates = start.rates
        self._tenant = start.tenant
        self._fence = fence
        self._connection = connection
        self._stop = StopSignal()
        self._log = TurnLog(connection, start.turn.id, last_seq=start.turn.last_seq, shown=start.shown)

    @classmethod
    @asynccontextmanager
    async def open(cls, turn_id: UUID, fence: int) -> "AsyncGenerator[_Segment, None]":
        try:
            start = await database(resume.load, turn_id)
        except Turn.DoesNotExist as gone:
            raise turns.TurnLost(f"turn {turn_id} was deleted") from gone
        async with events.client() as connection:
            segment = cls(start, fence=fence, connection=connection)
            await segment._open_log()
            try:
                yield segment
            finally:
                await segment._log.close()

    async def run(self) -> bool:
        outcome: Outcome | None
        try:
            outcome = self._foregone() or await self._drive()
        except (Interrupted, turns.TurnLost) as lost:
            raise turns.TurnLost(str(lost)) from lost
        except (LogTaken, LogUnreachable, RedisError, OperationalError):
            raise
        except Exception:
            # The outermost loop of a turn: a fault that nobody foresaw would else be met again by every
            # resume.
            logger.exception("turn %s failed", self._turn.id)
            outcome = Outcome(finish_reason=FinishReason.ERROR, detail=wording.trouble(self._turn))
        if outcome is None:
            await self._log.flush()
            await database(turns.pause, self._turn.id, fence=self._fence)
            return True
        await self.finish(outcome)
        return False

    async def finish(self, outcome: Outcome) -> None:
        """Commit the end, then say so: a reader who hears of it finds it in the database."""
        await self._log.flush()
        turn = await database(
            turns.finish,
            self._turn.id,
            fence=self._fence,
            finish_reason=outcome.finish_reason,
            error=wording.of_limit(outcome.limit, self._turn) if outcome.limit else outcome.detail,
            last_seq=self._log.last_seq + 1,
        )
        await self._log.turn_finished(history.finished_event(turn))
        await database(turns.announced, turn.id, fence=self._fence)

    async def _open_log(self) -> None:
        tail = await events.tail(self._connection, self._turn.id)
        if tail == self._turn.last_seq == 0:
            await self._log.turn_started()
        elif tail < self._turn.last_seq:
            await self._log.show_again(last_seq=self._turn.last_seq + SEQ_JUMP)
        else:
            self._log.last_seq = tail

    def _foregone(self) -> Outcome | None:
        """How the turn ends without being driven any further."""
        if self._turn.cancel_requested_at is not None:
            return Outcome(finish_reason=FinishReason.CANCELLED)
        if self._fence > self._progress.next_step + MAX_CLAIMS_IN_VAIN:
            logger.error("turn %s: its workers keep dying", self._turn.id)
            return Outcome(finish_reason=FinishReason.ERROR, detail=wording.trouble(self._turn))
        return None

    async def _drive(self) -> Outcome | None:
        try:
            backend = backends.backend_for(self._turn.model)
        except BackendError as fault:
            return Outcome(finish_reason=FinishReason.ERROR, detail=str(fault))
        time_left = self._turn.max_seconds - (time.monotonic() - self._progress.began)
        deadline = asyncio.get_running_loop().call_later(max(time_left, 0), self._stop.set, Why.TIME)
        watchers = [asyncio.create_task(watch()) for watch in (self._renew, self._keep_place, self._listen)]
        try:
            return await loop.drive(
                self._setting(backend),
                self._progress,
                max_steps=settings.TURN_SEGMENT_STEPS,
                until=time.monotonic() + settings.TURN_SEGMENT_S,
            )
        finally:
            deadline.cancel()
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
            await backend.aclose()

    def _setting(self, backend: ChatBackend) -> loop.Setting:
        turn = self._turn
        return loop.Setting(
            turn_id=str(turn.id),
            model=turn.model.upstream_name,
            tenant=self._tenant,
            backend=backend,
            toolset=toolset_for(turn.model, long_thinking=turn.long_thinking),
            limits=turns.limits_of(turn),
            thinks=turn.long_thinking and turn.model.thinks,
            reply_tokens=turn.model.max_output_tokens,
            emit=self._log,
            store=self,
            stop=self._stop,
            cost_nano=lambda usage: pricing.cost_nano(self._rates, usage),
            count_tokens=estimates.estimated_tokens,
        )

    # ---- agents.loop.Store

    async def reserve(self, request: ChatRequest, *, spent: Usage) -> None:
        if self._rates.is_free or self._progress.next_step == 1:
            return  # the first step's money was held when the turn was started
        try:
            with translation.override(wording.language(self._turn)):
                await database(
                    holds.extend,
                    self._turn.hold_id,
                    spent=spent,
                    max_input_tokens=estimates.most_input_tokens(
                        request.messages, tools=request.tools, context_tokens=self._turn.model.context_tokens
                    ),
                    max_output_tokens=request.sampling.max_tokens or self._turn.model.max_output_tokens,
                    ttl=timedelta(seconds=self._turn.max_seconds + turns.SPARE_S),
                )
        except holds.InsufficientFunds as fault:
            raise BudgetExhausted(str(fault)) from fault

    async def save_reply(self, reply: Reply) -> None:
        await self._log.flush()
        await database(turns.save_reply, self._turn.id, reply, fence=self._fence, last_seq=self._log.last_seq)

    async def save_result(
        self, step: int, index: int, call: ToolCall, result: ToolResult, *, duration_ms: int
    ) -> None:
        await database(
            turns.save_result,
            self._turn.id,
            call,
            result,
            step=step,
            index=index,
            fence=self._fence,
            last_seq=self._log.last_seq,
            duration_ms=duration_ms,
        )

    # ---- watching over it

    async def _renew(self) -> None:
        """Keep the lease, and learn from the database what Redis failed to tell."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                is_cancelled = await database(
                    turns.renew, self._turn.id, fence=self._fence, last_seq=self._log.last_seq
                )
            except turns.TurnLost:
                self._stop.set(Why.LOST)
                return
            except OperationalError:
                logger.warning("turn %s: could not renew the lease", self._turn.id)
                continue
            if is_cancelled:
                self._stop.set(Why.CANCELLED)

    async def _keep_place(self) -> None:
        """Keep the place among the user's turns: one that is not given back, its Redis away, is free again
        soon."""
        user_id, lease_id = self._turn.conversation.user_id, str(self._turn.id)
        while True:
            await database(limits.renew, "turn", user_id=user_id, lease_id=lease_id, ttl_s=turns.PLACE_S)
            await asyncio.sleep(KEEP_PLACE_S)

    async def _listen(self) -> None:
        """Hear at once when the person wants the turn to stop."""
        while True:
            try:
                await self._listen_once()
                return
            except RedisError:
                await asyncio.sleep(RENEW_S)

    async def _listen_once(self) -> None:
        async with self._connection.pubsub() as pubsub:
            await pubsub.subscribe(events.control_channel(self._turn.id))
            while True:
                message = await pubsub.get_message(timeout=RENEW_S)
                if message is not None and await self._connection.exists(events.cancel_key(self._turn.id)):
                    self._stop.set(Why.CANCELLED)
                    return
