"""POST /v1/chat/completions: admit, relay the backend's deltas, settle once.

Whatever happens in between (a fault, a client that hangs up, a server that stops), the hold is settled for
what was delivered, or released when that is nothing. An answer was whole if its last event went out, whatever
became of the socket.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable

from django.db import DatabaseError

from inference.backends.base import BackendError, StreamBroken
from inference.schema import ChatDelta, Finished, FinishReason, Usage
from webapp.api import admission, backend_pool, database, errors, metrics, sse
from webapp.api.admission import Admitted
from webapp.api.chat_reply import Reply, Writer
from webapp.api.exchange import ClientGone, Exchange

logger = logging.getLogger(__name__)

PING_AFTER_S = 10.0
RENEW_EVERY_S = 40.0


async def handle(exchange: Exchange) -> None:
    """Raises ApiError before the answer has begun; afterwards a fault is the stream's last event."""
    secret = exchange.bearer
    content = await exchange.read_body()
    admitted = await database.run(admission.admit, secret, content, id=f"chatcmpl-{exchange.id}")
    _tell_allowance(exchange, admitted)
    with metrics.under_way.track_inprogress():
        await _Call(exchange, admitted).run()


class _Call:
    """One admitted request, from its backend's first delta to its settlement."""

    def __init__(self, exchange: Exchange, admitted: Admitted) -> None:
        self._exchange = exchange
        self._admitted = admitted
        self._reply = Reply()
        self._is_delivered = False
        self._has_failed = False
        self._writer = Writer(
            id=admitted.request.id,
            model=admitted.model.name,
            includes_usage=admitted.includes_usage,
        )

    async def run(self) -> None:
        relay = asyncio.create_task(self._relay())
        gone = asyncio.create_task(self._exchange.wait_until_gone())
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

    async def _relay(self) -> None:
        try:
            backend = backend_pool.backend_of(self._admitted.model)
            async with contextlib.aclosing(backend.stream(self._admitted.request)) as deltas:
                async for delta in deltas:
                    await self._pass_on(delta)
            await self._end()
        except BackendError as error:
            self._has_failed = True
            await self._fail(error)

    async def _pass_on(self, delta: ChatDelta) -> None:
        is_first = self._reply.is_empty
        self._reply.add(delta)
        if is_first:
            elapsed_s = time.perf_counter() - self._exchange.started_at
            metrics.first_token_s.labels(self._admitted.model.name).observe(elapsed_s)
        if self._admitted.is_stream and not isinstance(delta, Finished):
            beginning = self._writer.beginning() if is_first else b""
            await self._exchange.stream(beginning + self._writer.piece(delta))

    async def _end(self) -> None:
        finished = self._reply.finished
        if finished is None or finished.reason in (FinishReason.ERROR, FinishReason.CANCELLED):
            raise StreamBroken(finished.detail if finished and finished.detail else "The answer broke off.")
        if self._admitted.is_stream:
            beginning = self._writer.beginning() if self._reply.is_empty else b""
            await self._exchange.stream(beginning + self._writer.ending(finished), is_last=True)
        else:
            await self._exchange.send_json(self._writer.completion(self._reply, finished))
        self._is_delivered = True

    async def _fail(self, error: BackendError) -> None:
        """Before the answer has begun, an answer of its own; afterwards the stream's last event."""
        refusal = errors.of_backend(error)
        if self._exchange.status is None:
            raise refusal from error
        await self._exchange.stream_error(refusal)

    async def _take_care(self) -> None:
        """Keep a silent stream open, and the request's place and money its own, for as long as it runs."""
        renewed_at = time.perf_counter()
        while True:
            await asyncio.sleep(1)
            now = time.perf_counter()
            if self._admitted.is_stream and now - self._exchange.sent_at >= PING_AFTER_S:
                await self._exchange.stream(sse.PING)
            if now - renewed_at >= RENEW_EVERY_S:
                renewed_at = now
                await self._renew()

    async def _renew(self) -> None:
        try:
            await database.run(admission.renew, self._admitted)
        except DatabaseError:
            logger.warning("request %s: could not renew its hold", self._admitted.request.id)

    async def _close(self, relay: asyncio.Task[None], *, other_tasks: Iterable[asyncio.Task[None]]) -> None:
        """Once the backend has let go: bill, free the place, count."""
        await asyncio.wait({relay, *other_tasks})
        fault = None if relay.cancelled() else relay.exception()
        if fault and not isinstance(fault, ClientGone):
            self._has_failed = True
        usage, is_estimated = self._bill()
        finish_reason = self._finish_reason()
        elapsed_s = time.perf_counter() - self._exchange.started_at
        metrics.duration_s.labels(self._admitted.model.name, finish_reason).observe(elapsed_s)
        await database.run(
            admission.close,
            self._admitted,
            usage=usage,
            finish_reason=finish_reason,
            is_estimated=is_estimated,
        )

    def _bill(self) -> tuple[Usage | None, bool]:
        """What to bill, and whether it is an estimate: the backend's count, else what it had said (not every
        provider counts).

        A fault that is the whole answer costs nothing, whatever was made before it.
        """
        finished = self._reply.finished
        if self._has_failed and self._exchange.status is None:
            return None, False
        if finished is not None and finished.usage.total_tokens:
            return finished.usage, False
        if self._reply.is_empty:
            return (finished.usage if finished and not self._has_failed else None), False
        asked = "".join(message.content for message in self._admitted.request.messages)
        return self._reply.estimated_usage(input_text=asked), True

    def _finish_reason(self) -> str:
        finished = self._reply.finished
        if self._has_failed:
            return FinishReason.ERROR.value
        if finished is None or not self._is_delivered:
            return FinishReason.CANCELLED.value
        return finished.reason.value


def _tell_allowance(exchange: Exchange, admitted: Admitted) -> None:
    if allowance := admitted.allowance:
        exchange.extra_headers |= {
            "x-ratelimit-limit-requests": str(allowance.limit),
            "x-ratelimit-remaining-requests": str(allowance.remaining),
            "x-ratelimit-reset-requests": f"{allowance.reset_s:.3f}s",
        }
