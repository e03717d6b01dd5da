"""One segment of a turn: claim it, drive it for a while, and end it, park it or leave it to the next segment.

The glue between the loop, which knows neither Django nor Redis, and the database, the event log and the
backend.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import redis.asyncio
from django.conf import settings
from django.db import OperationalError
from redis.exceptions import RedisError

from agents import tracing
from agents.happenings import TurnResumed
from agents.limits import Limit
from agents.steps import guard, loop, model_call
from agents.steps.asking import Ask
from agents.steps.loop import End
from agents.steps.progress import Outcome, Parked
from agents.steps.setting import Setting
from agents.steps.stopping import Interrupted, StopSignal, Why
from agents.tooling.exposure import Opening
from agents.tooling.toolset import Toolset
from agents.tools.verify_claim import VerifyClaim
from agents.verification import Verifier
from chat import (
    conductors,
    events,
    history,
    own_loop,
    page_tools,
    resume,
    toolsets,
    turns,
    warm,
    wording,
    workspaces,
    writing_tools,
)
from chat.events import LogTaken, LogUnreachable
from chat.evidence import StoredPassages
from chat.frames import PlainEvent
from chat.models import Turn
from chat.notebook import DatabaseNotebook
from chat.own_loop import database
from chat.turn_log import Stored, TurnLog
from chat.turn_store import DatabaseStore
from chat.warm import Kept
from inference.backends.base import BackendError, ChatBackend
from inference.schema import FinishReason
from webapp.billing import estimates, limits, pricing
from webapp.catalog import backends

logger = logging.getLogger(__name__)

RENEW_S = 1.0
KEEP_PLACE_S = 60.0
SEQ_JUMP = 10_000  # past whatever a lost log may have held that the database does not know of
JUDGED_EFFORTS = (Turn.Effort.HIGH, Turn.Effort.HEAVY)  # whose answers a judge reads besides the rules
MAX_LOST = 20  # workers that died at the same step


async def drive(turn_id: UUID) -> bool:
    """Drive the turn for one segment; True when another is to follow. A turn that somebody holds, or that
    waits, is left alone."""
    claimed_at = time.monotonic()
    fence = await database(turns.claim, turn_id)
    if fence is None:
        return False
    try:
        async with _Segment.open(turn_id, fence, claimed_at=claimed_at) as segment:
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
        log = TurnLog(connection, turn.id, last_seq=turn.last_seq - 1, stored=_stored(turn.id))
        with suppress(LogTaken):  # it was out already
            await log.turn_finished(await database(history.finished_event, turn))
    await database(turns.announced, turn.id, fence=turn.fence)


def _stored(turn_id: UUID) -> Stored:
    async def stored() -> list[PlainEvent]:
        return await database(_shown, turn_id)

    return stored


def _shown(turn_id: UUID) -> list[PlainEvent]:
    turn = Turn.objects.select_related("conversation").prefetch_related("messages__parts").get(id=turn_id)
    return history.shown_events(turn, history.steps_of(turn))


class _Segment:
    """A claimed turn while it is driven."""

    def __init__(
        self,
        start: resume.Start,
        *,
        fence: int,
        claimed_at: float,
        connection: "redis.asyncio.Redis[bytes]",
    ) -> None:
        self._kept_at = claimed_at  # the lease, by the monotonic clock
        self._turn = start.turn
        self._progress = start.progress
        self._rates = start.rates
        self._tenant = start.tenant
        self._fence = fence
        self._connection = connection
        self._stop = StopSignal()
        self._ask: Ask | None = None
        self._passages = StoredPassages(start.turn.id)
        self._log = TurnLog(
            connection, start.turn.id, last_seq=start.turn.last_seq, stored=_stored(start.turn.id)
        )
        self._store = DatabaseStore(
            start.turn,
            fence=fence,
            rates=start.rates,
            log=self._log,
            stop=self._stop,
            known_notes=start.known_notes,
            fees_nano=start.progress.tools_used.cost_nano,
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, turn_id: UUID, fence: int, *, claimed_at: float) -> "AsyncGenerator[_Segment, None]":
        try:
            start = await database(resume.load, turn_id, fence=fence)
        except Turn.DoesNotExist as gone:
            raise turns.TurnLost(f"turn {turn_id} was deleted") from gone
        async with own_loop.kept("events", events.client) as connection:
            segment = cls(start, fence=fence, claimed_at=claimed_at, connection=connection)
            await segment._open_log()
            try:
                yield segment
            finally:
                await segment._log.close()

    async def run(self) -> bool:
        end: End | None
        try:
            end = self._foregone() or await self._drive()
        except (Interrupted, turns.TurnLost) as lost:
            raise turns.TurnLost(str(lost)) from lost
        except (LogTaken, LogUnreachable, RedisError, OperationalError):
            raise
        except Exception:
            # The outermost loop of a turn: a fault that nobody foresaw would else be met again by every
            # resume.
            logger.exception("turn %s failed", self._turn.id)
            end = Outcome(finish_reason=FinishReason.ERROR, detail=wording.trouble(self._turn))
        if isinstance(end, Parked) and await database(turns.waits_too_long, self._turn, end):
            end = Outcome(finish_reason=FinishReason.LENGTH, limit=Limit.QUOTA)
        if isinstance(end, Outcome):
            await self._finish(end)
            return False
        await self._log.flush()
        goes_on = True
        if isinstance(end, Parked):
            goes_on = await self._park(end)
        else:
            await database(turns.pause, self._turn.id, fence=self._fence)
        warm.shelf.put(
            self._turn.id,
            Kept(fence=self._fence, progress=self._progress, known_notes=self._store.known_notes),
        )
        return goes_on

    async def _park(self, parked: Parked) -> bool:
        return await database(
            turns.park,
            self._turn,
            parked,
            fence=self._fence,
            last_seq=self._log.last_seq,
            spent=self._progress.usage,
        )

    async def _finish(self, outcome: Outcome) -> None:
        """Commit the end, then say so: a reader who hears of it finds it in the database."""
        await self._log.flush()
        if self._turn.spawned_by_id is not None:
            # Before the turn that waits for it goes on.
            await own_loop.aside(workspaces.hand_in, self._turn)
        turn = await database(
            turns.finish,
            self._turn.id,
            fence=self._fence,
            finish_reason=outcome.finish_reason,
            limit=outcome.limit,
            error=wording.of_limit(outcome.limit, self._turn) if outcome.limit else outcome.detail,
            last_seq=self._log.last_seq + 1,
        )
        await self._log.turn_finished(await database(history.finished_event, turn))
        await database(turns.announced, turn.id, fence=self._fence)

    async def _open_log(self) -> None:
        tail = await events.tail(self._connection, self._turn.id)
        if tail == self._turn.last_seq == 0:
            await self._log.turn_started()
        elif tail < self._turn.last_seq:
            await self._log.show_again(last_seq=self._turn.last_seq + SEQ_JUMP)
        else:
            self._log.go_on_from(tail)
        if self._turn.waiting_for:
            await self._log.happened(TurnResumed(step=self._progress.last_step))
            await database(turns.resumed, self._turn, fence=self._fence)

    def _foregone(self) -> Outcome | None:
        """How the turn ends without being driven any further."""
        if self._turn.cancel_requested_at is not None:
            return Outcome(finish_reason=FinishReason.CANCELLED)
        if self._turn.num_lost > MAX_LOST:
            logger.error("turn %s: its workers keep dying", self._turn.id)
            return Outcome(finish_reason=FinishReason.ERROR, detail=wording.trouble(self._turn))
        return None

    async def _drive(self) -> End | None:
        try:
            async with self._backend() as backend:
                return await self._drive_with(backend)
        except BackendError as fault:
            return Outcome(finish_reason=FinishReason.ERROR, detail=str(fault))

    def _backend(self) -> AbstractAsyncContextManager[ChatBackend]:
        model = self._turn.model
        # A script is read for each segment: whoever writes it may be at it still.
        if model.backend == model.Backend.SCRIPTED:
            return aclosing(backends.backend_for(model))
        return own_loop.kept(backends.recipe_of(model), lambda: aclosing(backends.backend_for(model)))

    async def _drive_with(self, backend: ChatBackend) -> End | None:
        notebook = DatabaseNotebook(self._turn.id, fence=self._fence)
        own = [*conductors.own_tools(self._turn, fence=self._fence, listener=self._log), self._claims()]
        own += writing_tools.tools_of(
            self._turn, ask=lambda: self._ask, transcript=lambda: self._progress.transcript
        )
        own += page_tools.own_tools(self._turn, ask=lambda: self._ask)
        tools = toolsets.opened(self._turn, notebook=notebook, own=own)
        # Watched first: a server that is slow to list its tools must not cost the lease.
        async with self._watched(), tools as toolset:
            setting = self._setting(backend, toolset, notebook, await self._opening())
            self._ask = model_call.asker(setting, self._progress)
            with tracing.turn(str(self._turn.id), model=setting.model, role=self._turn.role):
                return await loop.drive(
                    setting,
                    self._progress,
                    max_steps=settings.TURN_SEGMENT_STEPS,
                    until=time.monotonic() + settings.TURN_SEGMENT_S,
                )

    def _claims(self) -> VerifyClaim:
        """The tool that checks a claim: it may ask the model as soon as the turn is driven."""
        return VerifyClaim(
            self._passages, ask=lambda: self._ask, transcript=lambda: self._progress.transcript
        )

    async def _opening(self) -> Opening:
        return await database(toolsets.opening_of, self._turn)

    def _setting(
        self, backend: ChatBackend, toolset: Toolset, notebook: DatabaseNotebook, opening: Opening
    ) -> Setting:
        turn = self._turn
        return Setting(
            turn_id=str(turn.id),
            top_turn_id=str(turn.spawned_by_id or turn.id),
            model=turn.model.upstream_name,
            tenant=self._tenant,
            backend=backend,
            toolset=toolset,
            limits=turns.limits_of(turn),
            thinks=turn.long_thinking and turn.model.thinks,
            reply_tokens=turn.model.max_output_tokens,
            context_tokens=turn.model.context_tokens,
            emit=self._log,
            store=self._store,
            stop=self._stop,
            cost_nano=lambda usage: pricing.cost_nano(self._rates, usage),
            count_tokens=estimates.estimated_tokens,
            seed=turn.seed,
            opening=opening,
            guard=guard.advice if turn.long_thinking else None,
            conductor=conductors.conductor_of(turn, fence=self._fence),
            notebook=notebook,
            verifier=self._verifier(),
        )

    def _verifier(self) -> Verifier | None:
        if not self._turn.long_thinking:
            return None
        # Of a turn with agents its own answer is judged: that is the one a person reads.
        judges = self._turn.effort in JUDGED_EFFORTS and self._turn.spawned_by_id is None
        return Verifier(self._passages, judges=judges)

    # ---- watching over it

    @asynccontextmanager
    async def _watched(self) -> AsyncGenerator[None, None]:
        """Keep the lease and the place, and hear of a stop, while the turn is driven."""
        time_left = self._turn.max_seconds - (time.monotonic() - self._progress.began)
        deadline = asyncio.get_running_loop().call_later(max(time_left, 0), self._stop.set, Why.TIME)
        watches: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self._renew,
            self._keep_place,
            self._listen,
        ]
        watchers = [asyncio.create_task(watch()) for watch in watches]
        try:
            yield
        finally:
            deadline.cancel()
            await events.end(*watchers)

    async def _renew(self) -> None:
        """Keep the lease, and learn from the database what Redis failed to tell. A worker that cannot keep it
        stops when it has run out: counted from when it last asked for it, the database counts from later."""
        rung_at: datetime | None = None
        while True:
            await asyncio.sleep(RENEW_S)
            asked_at = time.monotonic()
            try:
                news = await database(
                    turns.renew, self._turn.id, fence=self._fence, last_seq=self._log.last_seq
                )
            except turns.TurnLost:
                self._stop.set(Why.LOST)
                return
            except OperationalError:
                logger.warning("turn %s: could not renew the lease", self._turn.id)
                if time.monotonic() < self._kept_at + settings.TURN_LEASE_S:
                    continue
                self._stop.set(Why.LOST)
                return
            self._kept_at = asked_at
            if news.is_cancelled:
                self._stop.set(Why.CANCELLED)
            if news.rung_at != rung_at:
                rung_at = news.rung_at
                self._store.look_for_news()

    async def _keep_place(self) -> None:
        """Keep the place among the user's turns: one that is not given back, its Redis away, is free again
        soon. A turn that is driven takes it again whoever is there, after it has waited or Redis was lost; an
        agent has that of its turn, and must not bring it back when that has ended."""
        turn = self._turn
        user_id, lease_id = turn.conversation.user_id, str(turn.spawned_by_id or turn.id)
        may_enter = turn.spawned_by_id is None
        keep = partial(limits.renew, "turn", user_id=user_id, lease_id=lease_id, ttl_s=turns.PLACE_S)
        while True:
            await database(keep, may_enter=may_enter)
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
            await events.heeding(pubsub.subscribe(events.control_channel(self._turn.id)))
            while True:
                message = await events.heeding(pubsub.get_message(timeout=RENEW_S))
                if message is not None and await self._connection.exists(events.cancel_key(self._turn.id)):
                    self._stop.set(Why.CANCELLED)
                    return
