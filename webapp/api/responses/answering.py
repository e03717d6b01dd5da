"""Making an answer in the background: one call of one Celery worker on a backend, told event by event."""

import asyncio
import logging
import time
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from chat import events, own_loop
from inference.backends.base import BackendError, BackendOverloaded, BackendUnavailable
from inference.schema import (
    ChatDelta,
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ToolCallDelta,
)
from webapp.api import bill, errors, lost_reasoning
from webapp.api.chat_reply import Reply
from webapp.api.models import Response
from webapp.api.responses import background, log, store
from webapp.api.responses.background import Claimed, Outcome, ResponseLost
from webapp.api.responses.log import LogTaken
from webapp.api.responses.reply import ended, error_shape, said, telling_of
from webapp.api.responses.telling import COMPLETED, INCOMPLETE, Event, Telling
from webapp.catalog import backends

logger = logging.getLogger(__name__)

MOST_TRIES = 5
GATHER_S = 0.04  # what is said within it is told as one piece
LOOK_S = 0.25  # for a wish to cancel

Spoken = ReasoningDelta | ContentDelta


async def answer(response_id: str) -> None:
    """Make the answer, if nobody does. Runs in a loop of chat.own_loop."""
    claimed = await own_loop.database(background.claim, response_id)
    if claimed is None:
        return
    async with own_loop.kept("events", events.client) as connection:
        try:
            await _Answering(claimed, connection).run()
        except (ResponseLost, LogTaken):
            logger.warning("response %s: another worker has it", response_id)
        except RedisError:
            logger.warning("response %s: Redis stays away, left to the sweep", response_id)


class _Answering:
    """One call of one worker for one answer."""

    def __init__(self, claimed: Claimed, connection: Any) -> None:
        self._claimed = claimed
        self._id = claimed.response.id
        self._connection = connection
        self._telling: Telling = telling_of(claimed.response)
        self._reply = Reply()
        self._outbox: list[Event] = []
        self._spoken: Spoken | None = None
        self._is_called = asyncio.Event()

    async def run(self) -> None:
        await self._take_up()
        call = asyncio.create_task(self._call())
        call.add_done_callback(lambda _call: self._is_called.set())
        try:
            is_unwanted = await self._take_care()
        finally:
            call.cancel()
            await asyncio.wait({call})
        if is_unwanted:
            await self._end(self._outcome(None, FinishReason.CANCELLED))
        else:
            await self._conclude(call.exception())

    async def _take_up(self) -> None:
        """Go on in the log where whoever had it before has left off."""
        before = self._claimed.response.last_number
        logged: list[Event] = []
        while found := await log.read(self._connection, self._id, after=_last(logged)):
            logged += found
        if logged:
            self._outbox += self._telling.resume(logged, after=before)
        else:
            self._telling.next_number = max(log.FIRST_NUMBER, before + 1)
            shown = await own_loop.database(store.told, self._claimed.response)
            self._outbox += self._telling.started(shown)
        await self._write()

    async def _call(self) -> None:
        if self._claimed.response.num_lost >= MOST_TRIES:
            raise BackendError("This answer could not be made in several tries.")
        model = self._claimed.response.model
        opened = own_loop.kept(backends.recipe_of(model), lambda: aclosing(backends.backend_for(model)))
        async with opened as backend, aclosing(backend.stream(self._claimed.request)) as deltas:
            async for delta in deltas:
                if self._is_one_too_many(delta):
                    self._reply.cut(FinishReason.TOOL_CALLS)
                    return
                self._reply.add(delta)
                if not isinstance(delta, Finished):
                    self._hear(delta)

    def _is_one_too_many(self, delta: ChatDelta) -> bool:
        is_second = isinstance(delta, ToolCallDelta) and delta.index > 0
        return is_second and not self._claimed.response.asked["parallel_tool_calls"]

    def _hear(self, delta: ReasoningDelta | ContentDelta | ToolCallDelta) -> None:
        last = self._spoken
        if isinstance(delta, ToolCallDelta):
            self._speak()
            self._outbox += said(self._telling, delta)
        elif isinstance(last, type(delta)):
            text, logprobs = last.text + delta.text, (*last.logprobs, *delta.logprobs)
            self._spoken = type(delta)(text, logprobs)
        else:
            self._speak()
            self._spoken = delta

    def _speak(self) -> None:
        if self._spoken is not None:
            self._outbox += said(self._telling, self._spoken)
            self._spoken = None

    async def _take_care(self) -> bool:
        """Write what was said and keep the lease until the call is over; True when somebody wants the end
        before it is."""
        looked_at = 0.0
        while not self._is_called.is_set():
            self._speak()
            await self._write()
            if time.monotonic() - looked_at >= LOOK_S:
                looked_at = time.monotonic()
                if await own_loop.database(background.renew, self._claimed, last_number=self._last_number):
                    return True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_called.wait(), GATHER_S)
        return False

    @property
    def _last_number(self) -> int:
        return self._telling.next_number - 1 - len(self._outbox)

    async def _write(self) -> None:
        told, self._outbox = self._outbox, []
        await log.append(self._connection, self._id, told)

    async def _conclude(self, fault: BaseException | None) -> None:
        """The model's call is over."""
        if fault is not None and not isinstance(fault, BackendError):
            raise fault
        is_away = isinstance(fault, BackendUnavailable | BackendOverloaded) and self._reply.is_empty
        if is_away and self._claimed.response.num_lost < MOST_TRIES:
            wait_s = getattr(fault, "retry_after_s", None) or 2.0 ** (1 + self._claimed.response.num_lost)
            await own_loop.database(background.postpone, self._claimed, seconds=wait_s)
            return
        finished = self._reply.finished
        if fault is None and finished and finished.reason not in (FinishReason.ERROR, FinishReason.CANCELLED):
            await self._end(self._outcome(None, finished.reason))
            return
        fault = fault or BackendError((finished and finished.detail) or "The answer broke off.")
        await self._end(self._outcome(fault, FinishReason.ERROR))

    def _outcome(self, fault: BackendError | None, reason: FinishReason) -> Outcome:
        asked = "".join(message.content for message in self._claimed.request.messages)
        owed = bill.of([self._reply], input_text=asked)
        if reason is FinishReason.ERROR:
            error = errors.of_backend(fault) if fault else None
            return Outcome(
                status=Response.Status.FAILED,
                finish_reason=reason.value,
                usage=owed.usage if owed.usage and owed.usage.total_tokens else None,
                is_estimated=owed.is_estimated,
                error=error_shape(error) if error else None,
            )
        if reason is FinishReason.CANCELLED:
            status, why = str(Response.Status.CANCELLED), ""
        else:
            status, why = ended(Finished(reason=reason))
        return Outcome(
            status=status,
            finish_reason=reason.value,
            usage=owed.usage,
            is_estimated=owed.is_estimated,
            incomplete_reason=why,
        )

    async def _end(self, outcome: Outcome) -> None:
        self._speak()
        self._outbox += self._telling.close(COMPLETED if outcome.status == COMPLETED else INCOMPLETE)
        await self._keep_reasoning()
        await self._write()
        response = await own_loop.database(
            background.finish,
            self._claimed,
            outcome,
            output=self._telling.items,
            last_number=self._telling.next_number,
        )
        shown = await own_loop.database(store.told, response)
        self._outbox += self._telling.end(shown)
        await self._write()

    async def _keep_reasoning(self) -> None:
        if self._reply.tool_calls and self._reply.reasoning:
            keep = partial(
                lost_reasoning.keep, reasoning="".join(self._reply.reasoning), calls=self._reply.calls
            )
            await own_loop.database(
                keep, self._claimed.request, asker=self._claimed.response.asked["user"] or ""
            )


def _last(logged: list[Event]) -> int:
    return int(logged[-1]["sequence_number"]) if logged else log.FIRST_NUMBER - 1
