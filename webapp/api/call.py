"""One call on a model, in any dialect: admit, relay the backend's deltas, settle once.

The choices of one call are requests of their own, made side by side; when one fails, the call has failed.

Whatever happens in between (a fault, a client that hangs up, a server that stops), the hold is settled for
what was delivered, or released when that is nothing. An answer was whole if its last event went out, whatever
became of the socket.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from functools import partial

from django.db import DatabaseError

from inference.backends.base import BackendError
from inference.schema import ChatDelta, Finished, FinishReason, ToolCallDelta, Usage
from webapp.api import (
    admission,
    backend_pool,
    bill,
    chat_request,
    database,
    deliveries,
    errors,
    keyed_call,
    lost_reasoning,
    metrics,
)
from webapp.api.admission import Admitted
from webapp.api.bill import Bill
from webapp.api.chat_reply import Reply
from webapp.api.exchange import ClientGone, Exchange
from webapp.api.outlet import Outlet, Said
from webapp.api.question import Decode

logger = logging.getLogger(__name__)

PING_AFTER_S = 10.0
RENEW_EVERY_S = 15.0
LOOK_EVERY_S = 0.25
NOTE_EVERY_S, NOTE_EVERY_PIECES = 1.0, 64
NOTE_AGAIN_S = deliveries.LIVES_FOR.total_seconds() / 3  # of what is known already: it is still under way


async def answer(exchange: Exchange, *, decode: Decode, id_prefix: str) -> None:
    """Raises ApiError before the answer has begun; afterwards a fault is the stream's last event."""
    secret = exchange.secret
    if not exchange.is_short:
        await database.run(admission.authenticate, secret)  # nobody's 32 MB are read for nothing
    content = await exchange.read_body()
    async with keyed_call.once(exchange, secret=secret, body=content) as is_first:
        if is_first:
            await _make(exchange, secret, content, decode=decode, id=f"{id_prefix}{exchange.id}")


async def _make(exchange: Exchange, secret: str, content: bytes, *, decode: Decode, id: str) -> None:
    admitted = await database.run(
        admission.admit, secret, content, decode=decode, id=id, address=exchange.address
    )
    if admitted.lease.allowance:
        exchange.extra_headers |= exchange.dialect.allowance_headers(admitted.lease.allowance)
    exchange.extra_headers["x-kimi-receipt"] = str(admitted.hold_id)
    with metrics.under_way.track_inprogress():
        await _Call(exchange, admitted).run()


class _Call:
    """One admitted request, from its backend's first delta to its settlement."""

    def __init__(self, exchange: Exchange, admitted: Admitted) -> None:
        self._exchange = exchange
        self._admitted = admitted
        self._replies = [Reply(index) for index in range(admitted.question.num_choices)]
        self._num_unended = admitted.question.num_choices
        self._last_ended = self._replies[0]
        self._has_begun = False
        self._is_delivered = False
        self._has_failed = False
        self._first_token_ms: int | None = None
        self._num_unnoted = 0  # pieces that went out since the last note of what did
        self._is_noted = False
        self._writer = admitted.question.writer(admitted.request, model=admitted.model)
        self._outlet = Outlet(self._pass_on)

    async def run(self) -> None:
        relay = asyncio.create_task(self._relay())
        gone = asyncio.create_task(self._until_gone())
        care = asyncio.create_task(self._take_care())
        try:
            await asyncio.wait({relay, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (relay, gone, care):
                task.cancel()
            # Shielded: a server that gives up on this client must not lose its bill.
            await asyncio.shield(self._close(relay, other_tasks=(gone, care)))
        if not relay.cancelled() and (error := relay.exception()):
            raise error

    async def _until_gone(self) -> None:
        """A client that can ask for its answer again is waited for to the end."""
        if self._exchange.recording is None:
            await self._exchange.wait_until_gone()
        else:
            await asyncio.Event().wait()

    async def _relay(self) -> None:
        try:
            await self._relay_choices()
            await self._end()
        except BackendError as error:
            self._has_failed = True
            await self._fail(error)

    async def _relay_choices(self) -> None:
        """All of them side by side. Raises the first fault of any, once the others were let go."""
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._outlet.run())
                await asyncio.wait([group.create_task(self._relay_choice(reply)) for reply in self._replies])
                sending.cancel()
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None

    async def _relay_choice(self, reply: Reply) -> None:
        backend = backend_pool.backend_of(self._admitted.model)
        request = chat_request.of_choice(self._admitted.request, reply.index)
        is_cut = False
        try:
            async with contextlib.aclosing(backend.stream(request)) as deltas:
                async for delta in deltas:
                    if is_cut := self._is_one_too_many(delta):
                        break
                    await self._outlet.put(reply, delta)
        except BackendError:
            await self._outlet.drain()  # what was said before the fault goes out before it
            raise
        await self._outlet.drain()
        if is_cut:
            reply.cut(FinishReason.TOOL_CALLS)
        finished = reply.require_end()
        self._num_unended -= 1
        self._last_ended = reply
        if self._admitted.question.is_stream and self._num_unended:
            await self._exchange.stream(self._writer.ending(reply, finished))

    def _is_one_too_many(self, delta: ChatDelta) -> bool:
        """Whether a second call begins where one is the most: the model is not let to make it."""
        is_second = isinstance(delta, ToolCallDelta) and delta.index > 0
        return is_second and self._admitted.question.is_one_call_at_most

    async def _pass_on(self, said: list[Said]) -> None:
        if self._exchange.is_gone:
            raise ClientGone  # before what nobody gets is counted
        if not self._has_begun:
            self._has_begun = True
            elapsed_s = time.perf_counter() - self._exchange.started_at
            self._first_token_ms = round(elapsed_s * 1000)
            metrics.first_token_s.labels(self._admitted.model.name).observe(elapsed_s)
        pieces = [
            self._writer.piece(reply.index, delta)
            for reply, delta in said
            if self._admitted.question.is_stream and not isinstance(delta, Finished)
        ]
        if pieces:
            await self._exchange.stream(b"".join(pieces))
            self._num_unnoted += len(pieces)
        # After it: what a slow client had not taken when it hung up is not billed.
        for reply, delta in said:
            reply.add(delta)

    async def _end(self) -> None:
        # Before the last word goes out: the client may come back with its results at once.
        await self._keep_reasoning()
        usage = self._bill().usage or Usage()
        if self._admitted.question.is_stream:
            last = self._last_ended
            piece = self._writer.ending(last, last.require_end(), usage=usage)
            await self._keep()
            await self._exchange.stream(piece, is_last=True)
        else:
            completion = self._writer.completion(self._replies, usage=usage)
            await self._keep()
            await self._exchange.send_json(completion)
        self._is_delivered = True

    async def _keep(self) -> None:
        if self._writer.keep is not None:
            await database.run(self._writer.keep)

    async def _keep_reasoning(self) -> None:
        asker = self._admitted.question.asker
        for reply in self._replies:
            if reply.tool_calls and reply.reasoning:
                keep = partial(lost_reasoning.keep, reasoning="".join(reply.reasoning), calls=reply.calls)
                await database.run(keep, self._admitted.request, asker=asker)

    async def _fail(self, error: BackendError) -> None:
        """Before the answer has begun, an answer of its own; afterwards the stream's last event."""
        refusal = errors.of_backend(error)
        if self._exchange.status is None:
            raise refusal from error
        await self._exchange.stream_error(refusal)

    async def _take_care(self) -> None:
        """Keep a silent stream open, and the request's place and money its own, for as long as it runs."""
        renewed_at = noted_at = time.perf_counter()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = time.perf_counter()
            is_due = now - noted_at >= (NOTE_EVERY_S if self._num_unnoted else NOTE_AGAIN_S)
            is_stream = self._admitted.question.is_stream and self._has_begun
            if is_stream and (is_due or self._num_unnoted >= NOTE_EVERY_PIECES):
                noted_at = now
                await self._note()
            if self._admitted.question.is_stream and now - self._exchange.sent_at >= PING_AFTER_S:
                await self._exchange.stream(self._writer.ping())
            if now - renewed_at >= RENEW_EVERY_S:
                renewed_at = now
                await self._renew()

    async def _note(self) -> None:
        """Write down what went out: should this process die, that is what is billed."""
        self._num_unnoted = 0
        if (usage := self._bill().usage) is None:
            return
        self._is_noted = True
        try:
            admitted = self._admitted
            await database.run(deliveries.note, admitted.hold_id, reference=admitted.request.id, usage=usage)
        except DatabaseError:
            logger.warning("request %s: could not note what was delivered", self._admitted.request.id)

    async def _renew(self) -> None:
        try:
            await database.run(admission.renew, self._admitted)
            if self._exchange.recording:
                await self._exchange.recording.renew()
        except DatabaseError:
            logger.warning("request %s: could not renew its hold", self._admitted.request.id)

    async def _close(self, relay: asyncio.Task[None], *, other_tasks: Iterable[asyncio.Task[None]]) -> None:
        """Once the backend has let go: bill, free the place, count."""
        await asyncio.wait({relay, *other_tasks})
        fault = None if relay.cancelled() else relay.exception()
        if fault and not isinstance(fault, ClientGone):
            self._has_failed = True
        owed = self._bill()
        finish_reason = self._finish_reason()
        elapsed_s = time.perf_counter() - self._exchange.started_at
        metrics.duration_s.labels(self._admitted.model.name, finish_reason).observe(elapsed_s)
        await database.run(
            admission.close,
            self._admitted,
            usage=owed.usage,
            finish_reason=finish_reason,
            is_estimated=owed.is_estimated,
            is_noted=self._is_noted,
            first_token_ms=self._first_token_ms,
            duration_ms=round(elapsed_s * 1000),
            num_tool_calls=sum(len(reply.tool_calls) for reply in self._replies),
        )

    def _bill(self) -> Bill:
        """A fault that is the whole answer costs nothing, whatever was made before it."""
        if self._has_failed and self._exchange.status is None:
            return Bill()
        asked = "".join(message.content for message in self._admitted.request.messages)
        owed = bill.of(self._replies, input_text=asked)
        is_nothing = owed.usage is None or (self._has_failed and not owed.usage.total_tokens)
        return Bill() if is_nothing else owed

    def _finish_reason(self) -> str:
        """Of the call: where all is well, its first choice's."""
        finished = self._replies[0].finished
        if self._has_failed:
            return FinishReason.ERROR.value
        if finished is None or not self._is_delivered:
            return FinishReason.CANCELLED.value
        return finished.reason.value
