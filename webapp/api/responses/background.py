"""Answers in the background: a row says what is to be done, a Celery worker that holds its lease does it. A
crash between any two lines loses no answer and bills none twice: the call is made again, and what was told of
it before is closed as incomplete.
"""

import asyncio
import logging
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from chat import events, own_loop
from chat.clock import FromNow
from chat.doorbell import QUEUE
from inference.backends.base import BackendError, BackendOverloaded, BackendUnavailable
from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ToolCallDelta,
    Usage,
)
from webapp.api import admission, bill, errors, lost_reasoning
from webapp.api.chat_reply import Reply
from webapp.api.models import Item, Response
from webapp.api.responses import log, store
from webapp.api.responses.log import LogTaken
from webapp.api.responses.reply import ended, error_shape, said, telling_of, usage_shape
from webapp.api.responses.request import Question
from webapp.api.responses.telling import COMPLETED, INCOMPLETE, Event, Telling
from webapp.billing import holds
from webapp.billing.models import UsageRecord
from webapp.catalog import backends
from webapp.webhooks import outbox

logger = logging.getLogger(__name__)

TASK = "webapp.api.tasks.answer"
RING_AGAIN_S = 3.0
HOLD_LIVES = timedelta(days=2)  # longer than anybody waits for a worker
MOST_TRIES = 5
GATHER_S = 0.04  # what is said within it is told as one piece
LOOK_S = 0.25  # for a wish to cancel
ERROR_CHARS = 500

Spoken = ReasoningDelta | ContentDelta


class ResponseLost(Exception):
    """Another worker has it, or it has ended."""


@dataclass(frozen=True, kw_only=True)
class Claimed:
    response: Response
    request: ChatRequest
    fence: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an answer ended. `usage` is None where nothing is billed."""

    status: str
    finish_reason: str
    usage: Usage | None = None
    is_estimated: bool = False
    incomplete_reason: str = ""
    error: dict[str, Any] | None = None


# ---- asking


def start(question: Question, *, id: str, address: str) -> Response:
    """A queued answer with its money held. Raises ApiError, having changed nothing."""
    admitted = admission.hold(admission.look_as(question.key, question, id=id, address=address))
    try:
        with transaction.atomic():
            holds.keep(admitted.hold_id, ttl=HOLD_LIVES)
            response = store.open_response(
                question.asked(admitted.model),
                id,
                hold_id=admitted.hold_id,
                request=msgspec.json.encode(admitted.request).decode(),
                wake_at=FromNow(RING_AGAIN_S),
            )
            transaction.on_commit(partial(ring, id))
    except BaseException:
        admission.close(admitted, usage=None, finish_reason="", is_estimated=False)
        raise
    admission.free(admitted)
    return response


def ring(response_id: str) -> None:
    """Have a Celery worker look at it. If the broker is away, the sweep rings again."""
    try:
        current_app.send_task(TASK, kwargs={"response_id": response_id}, queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("response %s: nobody to ring, left to the sweep", response_id)


def ring_due() -> None:
    """Ring for the answers that nobody makes."""
    is_left = Q(lease_until=None) | Q(lease_until__lte=FromNow())
    due = _open().filter(is_left, Q(wake_at=None) | Q(wake_at__lte=FromNow()))
    for response_id in list(due.values_list("id", flat=True)[:500]):
        if due.filter(id=response_id).update(wake_at=FromNow(RING_AGAIN_S)):
            ring(response_id)


def _open() -> Any:
    """Those that a worker answers with a call on a backend."""
    return Response.objects.filter(status__in=Response.OPEN, turn=None).exclude(request="")


# ---- holding


def claim(response_id: str) -> Claimed | None:
    row = _open().select_related("model", "user").filter(id=response_id).first()
    if row is None:
        return None
    free = _open().filter(
        Q(lease_until=None) | Q(lease_until__lte=FromNow()), id=response_id, fence=row.fence
    )
    was_lost = row.status == Response.Status.IN_PROGRESS
    taken = free.update(
        fence=row.fence + 1,
        lease_until=FromNow(settings.TURN_LEASE_S),
        status=Response.Status.IN_PROGRESS,
        wake_at=None,
        num_lost=row.num_lost + was_lost,
    )
    if not taken:
        return None
    row.fence, row.status, row.num_lost = row.fence + 1, Response.Status.IN_PROGRESS, row.num_lost + was_lost
    request = msgspec.json.decode(row.request, type=ChatRequest)
    return Claimed(response=row, request=request, fence=row.fence)


def renew(claimed: Claimed, *, last_number: int) -> bool:
    """Keep the lease; whether somebody wants it to end. Raises ResponseLost."""
    row = _held(claimed)
    if not row.update(lease_until=FromNow(settings.TURN_LEASE_S), last_number=last_number):
        raise ResponseLost(claimed.response.id)
    return bool(row.filter(cancel_requested_at__isnull=False).exists())


def postpone(claimed: Claimed, *, seconds: float) -> None:
    """Leave it for a while: its backend is away or has too much to do. Raises ResponseLost."""
    postponed = _held(claimed).update(
        status=Response.Status.QUEUED,
        lease_until=None,
        wake_at=FromNow(seconds),
        num_lost=F("num_lost") + 1,
    )
    if not postponed:
        raise ResponseLost(claimed.response.id)


def _held(claimed: Claimed) -> Any:
    return Response.objects.filter(
        id=claimed.response.id, fence=claimed.fence, status=Response.Status.IN_PROGRESS
    )


# ---- ending


def finish(claimed: Claimed, outcome: Outcome, *, output: list[dict[str, Any]], last_number: int) -> Response:
    """End it: bill, keep, announce, all at once. Raises ResponseLost."""
    with transaction.atomic():
        if not _held(claimed).update(**columns(outcome, last_number=last_number)):
            raise ResponseLost(claimed.response.id)
        response = Response.objects.select_related("model").get(id=claimed.response.id)
        _settle(response, outcome)
        conclude(response, output)
    return response


def conclude(response: Response, output: list[dict[str, Any]]) -> None:
    """What follows from an answer's end. Call it in the transaction that ended it."""
    store.add_items(response, output, side=Item.Side.OUTPUT)
    asked = Item.objects.filter(response=response, side=Item.Side.INPUT).order_by("position")
    store.go_on(response, [*asked.values_list("content", flat=True), *output])
    if response.is_background:
        event_id = f"evt_{response.id.partition('_')[2]}"
        kind = f"response.{response.status}"
        outbox.announce(response.user_id, event_type=kind, event_id=event_id, data={"id": response.id})


def columns(outcome: Outcome, *, last_number: int) -> dict[str, Any]:
    """What a row says of its end."""
    error = outcome.error or {}
    return {
        "status": outcome.status,
        "lease_until": None,
        "wake_at": None,
        "request": "",
        "last_number": last_number,
        "error_code": error.get("code", ""),
        "error": error.get("message", "")[:ERROR_CHARS],
        "incomplete_reason": outcome.incomplete_reason,
        "usage": usage_shape(outcome.usage) if outcome.usage else None,
        "finished_at": datetime.now(UTC),
    }


def cancel(response: Response) -> None:
    """Have it end: at once where no worker has taken it up, else when its worker hears of it. Again, and when
    it has ended, is harmless."""
    if not _cancel_unclaimed(response):
        asked = Response.objects.filter(id=response.id, status__in=Response.OPEN, cancel_requested_at=None)
        asked.update(cancel_requested_at=FromNow())


def _cancel_unclaimed(response: Response) -> bool:
    """False when a worker has it."""
    with transaction.atomic():
        outcome = Outcome(status=Response.Status.CANCELLED, finish_reason="cancelled")
        waiting = _open().filter(id=response.id, status=Response.Status.QUEUED)
        number = max(response.last_number, log.FIRST_NUMBER)
        if not waiting.update(**columns(outcome, last_number=number), fence=F("fence") + 1):
            return False
        response.refresh_from_db()
        _settle(response, outcome)
        conclude(response, [])
    return True


def _settle(response: Response, outcome: Outcome) -> None:
    if response.hold_id is None:
        return
    if outcome.usage is None:
        holds.release(response.hold_id)
        return
    holds.settle(
        response.hold_id,
        usage=outcome.usage,
        source=UsageRecord.Source.API,
        reference=response.id,
        finish_reason=outcome.finish_reason,
        is_estimated=outcome.is_estimated,
    )


# ---- answering


async def answer(response_id: str) -> None:
    """Make the answer, if nobody does. Runs in a loop of chat.own_loop."""
    claimed = await own_loop.database(claim, response_id)
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
                if await own_loop.database(renew, self._claimed, last_number=self._last_number):
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
            await own_loop.database(postpone, self._claimed, seconds=wait_s)
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
            finish, self._claimed, outcome, output=self._telling.items, last_number=self._telling.next_number
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
