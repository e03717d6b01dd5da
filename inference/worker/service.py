"""The worker's life on the event loop: requests in, replies out, heartbeats, aborts, take-overs, drain."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress

from inference.engine import PromptTooLong, StepOutput
from inference.request_queue.messages import (
    HEARTBEAT_S,
    Accepted,
    Deltas,
    Fault,
    Job,
    Reply,
    Ticket,
    WorkerState,
    merge,
)
from inference.request_queue.transport import TransportLost, WorkerTransport
from inference.schema import ChatDelta, Finished
from inference.tokenizer.chat_template import TemplateRefused
from inference.tokenizer.tokenizer import Tokenizer
from inference.worker.answer import Answer, PromptRefused
from inference.worker.engine_thread import Engine, EngineThread
from inference.worker.vitals import Timing, Vitals

logger = logging.getLogger(__name__)

# Deltas that come within this time of the last reply share the next one.
_FLUSH_S = 0.02
_TAKE_S = 1.0
_TAKE_OVER_S = 3.0
# Checks in a row that must miss a reader's sign of life: one alone may fall into a pause of the queue.
_UNREAD_CHECKS = 2
BROKEN = "The inference worker stopped in the middle of the answer."


class Service:
    """Serves one engine until `stop`."""

    def __init__(
        self,
        engine: Engine,
        *,
        transport: WorkerTransport,
        tokenizer: Tokenizer,
        vitals: Vitals,
        max_requests: int = 16,
        drain_s: float = 4.0,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._tokenizer = tokenizer
        self._vitals = vitals
        self._max_requests = max_requests
        self._drain_s = drain_s
        self._context_tokens = int(engine.describe()["max_context_tokens"])
        self._thread: EngineThread
        self._running: dict[str, _Running] = {}
        self._has_room = asyncio.Event()
        self._stopped = asyncio.Event()
        self._let_go: list[Ticket] = []  # requests that were aborted or dropped, to be taken out of the queue
        self._has_crashed = False

    def stop(self) -> None:
        """Take no more requests; `run` returns once those at hand are answered, or out of time."""
        self._vitals.state = WorkerState.DRAINING
        self._stopped.set()

    async def run(self) -> bool:
        """Serve; False when the engine crashed."""
        self._thread = EngineThread(self._engine, on_outputs=self._on_outputs, on_crash=self._on_crash)
        # The first two bring requests, and end with `stop`.
        duties = (self._take_jobs, self._watch_peers, self._hear_aborts, self._watch_readers)
        tasks = [asyncio.create_task(self._do(duty)) for duty in duties]
        try:
            await self._stopped.wait()
            for task in tasks[:2]:
                task.cancel()
            await self._drain()
        finally:
            for task in tasks:
                task.cancel()
            self._thread.stop()
        return not self._has_crashed

    # ---- duties

    async def _do(self, duty: Callable[[], Awaitable[None]]) -> None:
        """A worker that lost one of its duties would live on, deaf: it ends, to be started anew."""
        try:
            await duty()
        except Exception:
            logger.exception("a duty of the worker failed")
            self._on_crash()

    async def _take_jobs(self) -> None:
        while True:
            limit = self._max_requests - len(self._running)
            if limit <= 0:
                self._has_room.clear()
                await self._has_room.wait()
                continue
            with _patience("take requests"):
                for job in await self._transport.take(
                    model=self._vitals.model, worker_id=self._vitals.worker_id, limit=limit, timeout_s=_TAKE_S
                ):
                    self._begin(job)

    async def _hear_aborts(self) -> None:
        async with aclosing(self._transport.aborts()) as aborts:
            async for request_id in aborts:
                for one in [request_id] if request_id else list(self._running):
                    if one in self._running and (request_id or await self._was_aborted(one)):
                        self._abort(one)

    async def _was_aborted(self, request_id: str) -> bool:
        try:
            return await self._transport.is_aborted(request_id)
        except TransportLost:
            return False

    async def _watch_peers(self) -> None:
        """Requests of a worker that died unnoticed by its readers are answered, or said to be broken; so are
        those that were handed to this one while the queue went away.
        """
        while True:
            tickets = [*(running.job.ticket for running in self._running.values()), *self._let_go]
            at_hand = {ticket.entry_id for ticket in tickets}
            with _patience("look after other workers"):
                for job in await self._transport.take_over(
                    model=self._vitals.model, worker_id=self._vitals.worker_id, at_hand=at_hand
                ):
                    self._begin(job)
            await asyncio.sleep(_TAKE_OVER_S)

    async def _watch_readers(self) -> None:
        num_missed: dict[str, int] = {}
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with _patience("look after readers"):
                while self._let_go:
                    await self._transport.done(ticket := self._let_go[0])
                    self._let_go.remove(ticket)
                unread = await self._transport.unread(list(self._running))
                num_missed = {one: num_missed.get(one, 0) + 1 for one in unread}
                for request_id in [one for one, missed in num_missed.items() if missed >= _UNREAD_CHECKS]:
                    logger.info("request %s has no reader", request_id)
                    self._abort(request_id)

    async def _drain(self) -> None:
        tasks = [running.task for running in self._running.values()]
        if tasks and not self._has_crashed:
            logger.info("draining %d requests", len(tasks))
            await asyncio.wait(tasks, timeout=self._drain_s)
        for running in list(self._running.values()):
            running.task.cancel()
            with suppress(TransportLost, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._transport.fail(running.job.ticket, reply=Fault(kind="broken", message=BROKEN))

    # ---- one request

    def _begin(self, job: Job) -> None:
        if job.request.id in self._running:
            return
        running = _Running(job, self._vitals.timing())
        self._running[job.request.id] = running
        self._vitals.num_requests = len(self._running)
        running.task = asyncio.create_task(self._serve(running))
        # Not within the task: one that is cancelled before its first step never runs at all.
        running.task.add_done_callback(lambda task: self._end(running, was_cancelled=task.cancelled()))

    def _end(self, running: "_Running", *, was_cancelled: bool) -> None:
        if was_cancelled:
            self._let_go.append(running.job.ticket)
        self._thread.abort(running.job.request.id)
        self._running.pop(running.job.request.id, None)
        self._vitals.num_requests = len(self._running)
        self._has_room.set()

    async def _serve(self, running: "_Running") -> None:
        request_id = running.job.request.id
        try:
            await self._answer(running)
        except (PromptRefused, TemplateRefused, PromptTooLong, ValueError) as error:
            await self._fail(running, Fault(kind="rejected", message=str(error)))
        except TransportLost:
            self._let_go.append(running.job.ticket)
            logger.warning("request %s dropped: the queue is away", request_id)
        except Exception:  # a fault in one request must not end the others
            logger.exception("request %s failed", request_id)
            await self._fail(running, Fault(kind="broken", message=BROKEN))

    async def _answer(self, running: "_Running") -> None:
        job = running.job
        if job.is_taken_over:
            await self._fail(running, Fault(kind="broken", message=BROKEN))
            return
        if await self._transport.is_aborted(job.request.id):
            await self._transport.done(job.ticket)
            return
        if not await running.reply(self._transport, Accepted(self._vitals.worker_id)):
            await self._transport.done(job.ticket)  # another worker has answered it
            return
        # Off the loop: a long conversation takes a while to encode, and others are being answered.
        running.answer = await asyncio.to_thread(
            Answer, job.request, tokenizer=self._tokenizer, context_tokens=self._context_tokens
        )
        self._thread.add(running.answer.sequence)
        await self._send_deltas(running)

    async def _send_deltas(self, running: "_Running") -> None:
        while True:
            await running.has_deltas.wait()
            running.has_deltas.clear()
            if running.fault is not None:
                await self._fail(running, running.fault)
                return
            deltas, running.deltas = merge(running.deltas), []
            # A refused reply: another worker took the request over, and answered it.
            is_written = await running.reply(self._transport, Deltas(deltas))
            if not is_written or isinstance(deltas[-1], Finished):
                await self._transport.done(running.job.ticket)
                return
            await asyncio.sleep(_FLUSH_S)

    async def _fail(self, running: "_Running", fault: Fault) -> None:
        self._vitals.count_error()
        logger.warning("request %s failed: %s", running.job.request.id, fault.kind)
        with _patience("report a fault"):
            await self._transport.fail(running.job.ticket, reply=fault)

    def _abort(self, request_id: str) -> None:
        """Stop it here and now; nobody reads what it would still say."""
        running = self._running.get(request_id)
        if running is not None and running.task.cancel():
            self._thread.abort(request_id)
            self._vitals.count_abort(running.timing, running.answer)

    # ---- the engine's side

    def _on_outputs(self, outputs: list[StepOutput]) -> None:
        for output in outputs:
            running = self._running.get(output.sequence_id)
            if running is None or running.answer is None or running.is_over:
                continue
            try:
                self._hear(output, running, running.answer)
            except Exception:  # a fault in one request must not lose the others' tokens
                logger.exception("request %s failed", output.sequence_id)
                running.break_off(Fault(kind="broken", message=BROKEN))

    def _hear(self, output: StepOutput, running: "_Running", answer: Answer) -> None:
        if output.finish_reason == "error":
            running.break_off(Fault(kind="broken", message=output.error or BROKEN))
            return
        deltas = answer.feed(output)
        running.take(deltas)
        self._vitals.count_output(running.timing, answer, deltas)
        if following := answer.take_next_sequence():
            self._thread.add(following)
        elif running.is_over:
            self._thread.abort(output.sequence_id)
        elif closing_ids := answer.closing_ids():
            self._thread.force(output.sequence_id, closing_ids)

    def _on_crash(self) -> None:
        self._has_crashed = True
        self.stop()


class _Running:
    """A request at hand, between the engine that makes its deltas and the queue that takes them."""

    task: asyncio.Task[None]

    def __init__(self, job: Job, timing: Timing) -> None:
        self.job = job
        self.timing = timing
        self.answer: Answer | None = None
        self.deltas: list[ChatDelta] = []
        self.has_deltas = asyncio.Event()
        self.fault: Fault | None = None
        self.is_over = False
        self._number = 0

    def take(self, deltas: list[ChatDelta]) -> None:
        if deltas:
            self.deltas += deltas
            self.is_over = isinstance(deltas[-1], Finished)
            self.has_deltas.set()

    def break_off(self, fault: Fault) -> None:
        self.fault = fault
        self.is_over = True
        self.has_deltas.set()

    async def reply(self, transport: WorkerTransport, reply: Reply) -> bool:
        self._number += 1
        return await transport.reply(self.job.ticket, number=self._number, reply=reply)


@contextmanager
def _patience(duty: str) -> Iterator[None]:
    """Go on with a duty although the queue was away for longer than its adapter waits."""
    try:
        yield
    except TransportLost:
        logger.warning("could not %s: the queue is away", duty)
