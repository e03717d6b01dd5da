"""The worker's life on the event loop: requests in, replies out, heartbeats, aborts, take-overs, drain."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress

from inference.engine import PromptTooLong, StepOutput
from inference.request_queue.messages import (
    HEARTBEAT_S,
    READER_TTL_S,
    Accepted,
    Deltas,
    Fault,
    Job,
    Ticket,
    WorkerState,
    merge,
)
from inference.request_queue.transport import TransportLost, WorkerTransport
from inference.schema import Finished
from inference.tokenizer.chat_template import TemplateRefused
from inference.tokenizer.tokenizer import Tokenizer
from inference.worker.answer import Answer, PromptRefused
from inference.worker.defaults import Defaults
from inference.worker.engine_thread import Engine, EngineThread
from inference.worker.running import Running
from inference.worker.vitals import Vitals

logger = logging.getLogger(__name__)

# Deltas that come within this time of the last reply share the next one.
_FLUSH_S = 0.02
_TAKE_S = 1.0
_MAX_REQUESTS = 16
_TAKE_OVER_S = 1.0
# Checks in a row that must miss a reader's sign of life: one alone may fall into a pause of the queue.
_UNREAD_CHECKS = 2
BROKEN = "The inference worker stopped in the middle of the answer."
UNREAD = f"The answer was ended: nobody had read it for {READER_TTL_S:g} seconds. Try again."
LATE = "The answer was not done within the {:g} s given for it. Ask for less, or give it more time."


class Service:
    """Serves one engine until `stop`.

    Takes `max_requests` at a time, by default as many as the engine runs at once. Alone with its model it
    takes `max_waiting` more, for the engine to choose from by priority and fairness: no other would be free
    sooner.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        transport: WorkerTransport,
        tokenizer: Tokenizer,
        vitals: Vitals,
        defaults: Defaults | None = None,
        max_requests: int | None = None,
        max_waiting: int = 48,
        drain_s: float = 4.0,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._tokenizer = tokenizer
        self._defaults = defaults
        self._vitals = vitals
        vitals.describe = engine.describe
        facts = engine.describe()
        self._max_requests = max_requests or int(facts.get("max_running", _MAX_REQUESTS))
        self._max_waiting = max_waiting
        self._is_alone = False
        self._drain_s = drain_s
        self._context_tokens = int(facts["max_context_tokens"])
        self._thread: EngineThread
        self._running: dict[str, Running] = {}
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
            if self._room < 1:
                self._has_room.clear()
                await self._has_room.wait()
                continue
            with _patience("take requests"):
                for job in await self._transport.take(
                    model=self._vitals.model,
                    worker_id=self._vitals.worker_id,
                    limit=(self._room + 1) // 2,  # of each of two queues
                    timeout_s=_TAKE_S,
                ):
                    self._begin(job)

    @property
    def _room(self) -> int:
        most = self._max_requests + (self._max_waiting if self._is_alone else 0)
        return most - len(self._running)

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
            with _patience("look after other workers"):
                for job in await self._transport.take_over(
                    model=self._vitals.model,
                    worker_id=self._vitals.worker_id,
                    at_hand=self._at_hand(),
                    limit=self._room,
                ):
                    self._begin(job)
                self._is_alone = not await self._has_peers()
                if self._room > 0:
                    self._has_room.set()
            await asyncio.sleep(_TAKE_OVER_S)

    def _at_hand(self) -> set[str]:
        tickets = [*(running.job.ticket for running in self._running.values()), *self._let_go]
        return {ticket.entry_id for ticket in tickets}

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
                    await self._give_up(request_id)

    async def _give_up(self, request_id: str) -> None:
        """Stop what nobody reads; a reader that was only held up for long finds out why."""
        logger.info("request %s has no reader", request_id)
        if running := self._running.get(request_id):
            self._abort(request_id)
            await self._transport.fail(running.job.ticket, reply=Fault(kind="broken", message=UNREAD))

    # ---- the end

    async def _drain(self) -> None:
        """Finish the answers that were begun, and leave those that were not to others; where there are no
        others, begin those too. What is late is broken off if it was begun, else left to the next worker.
        """
        deadline = time.monotonic() + (0 if self._has_crashed else self._drain_s)
        hands_back = self._has_crashed
        with suppress(TransportLost, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._transport.beat(self._vitals.heartbeat())  # nothing more is sent here
                hands_back = hands_back or await self._has_peers()
        if hands_back:
            await self._hand_back()
        tasks = [running.task for running in self._running.values()]
        if tasks and not self._has_crashed:
            logger.info("draining %d requests", len(tasks))
            await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
        await self._hand_back()
        for running in list(self._running.values()):
            running.task.cancel()
            with suppress(TransportLost, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._transport.fail(running.job.ticket, reply=Fault(kind="broken", message=BROKEN))

    async def _has_peers(self) -> bool:
        """Whether another worker takes requests of this model."""
        peers = await self._transport.workers(self._vitals.model)
        own = self._vitals.worker_id
        return any(peer.state is WorkerState.READY and peer.worker_id != own for peer in peers)

    async def _hand_back(self) -> None:
        for running in list(self._running.values()):
            if not running.has_begun:
                running.is_handed_back = True
                running.task.cancel()
                self._thread.abort(running.job.request.id)
                self._running.pop(running.job.request.id)
        begun = {running.job.ticket.entry_id for running in self._running.values()}
        with suppress(TransportLost, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._transport.hand_back(
                    model=self._vitals.model, worker_id=self._vitals.worker_id, at_hand=begun
                )

    # ---- one request

    def _begin(self, job: Job) -> None:
        if job.request.id in self._running:
            return
        running = Running(job, self._vitals.timing(waited_s=job.waited_s))
        self._running[job.request.id] = running
        self._vitals.num_requests = len(self._running)
        running.task = asyncio.create_task(self._serve(running))
        # Not within the task: one that is cancelled before its first step never runs at all.
        running.task.add_done_callback(lambda task: self._end(running, was_cancelled=task.cancelled()))

    def _end(self, running: Running, *, was_cancelled: bool) -> None:
        if running.is_handed_back:
            return
        if was_cancelled:
            self._let_go.append(running.job.ticket)
        self._thread.abort(running.job.request.id)
        self._running.pop(running.job.request.id, None)
        self._vitals.num_requests = len(self._running)
        self._has_room.set()

    async def _serve(self, running: Running) -> None:
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

    async def _answer(self, running: Running) -> None:
        job = running.job
        if job.has_begun:
            await self._fail(running, Fault(kind="broken", message=BROKEN))
            return
        if running.is_late:
            await self._fail(running, Fault(kind="overloaded", message=_late(job), retry_after_s=5.0))
            return
        if await self._transport.is_aborted(job.request.id):
            await self._transport.done(job.ticket)
            return
        if not await running.reply(self._transport, Accepted(self._vitals.worker_id)):
            return  # another worker took it over, or is not as dead as it seemed
        # Off the loop: a long conversation takes a while to encode, and others are being answered.
        answer = await asyncio.to_thread(
            Answer,
            job.request,
            tokenizer=self._tokenizer,
            context_tokens=self._context_tokens,
            defaults=self._defaults,
        )
        if job.request.sampling.max_tokens == 0:
            if await running.reply(self._transport, Deltas((answer.counted(),))):
                await self._transport.done(job.ticket)
            return
        answer.sequence.deadline_at = running.deadline_at
        running.answer = answer
        self._thread.add(answer.sequence)
        await self._send_deltas(running)

    async def _send_deltas(self, running: Running) -> None:
        while True:
            await running.has_deltas.wait()
            running.has_deltas.clear()
            if running.fault is not None:
                await self._fail(running, running.fault)
                return
            deltas, running.deltas = merge(running.deltas), []
            running.has_begun = True
            if not await running.reply(self._transport, Deltas(deltas)):
                return  # another worker took it over: the request is that one's to end
            if isinstance(deltas[-1], Finished):
                await self._transport.done(running.job.ticket)
                return
            await asyncio.sleep(_FLUSH_S)

    async def _fail(self, running: Running, fault: Fault) -> None:
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
        self._vitals.count_step(sum(bool(output.token_ids) for output in outputs))
        for output in outputs:
            running = self._running.get(output.sequence_id)
            if running is None or running.answer is None or running.is_over:
                continue
            try:
                self._hear(output, running, running.answer)
            except Exception:  # a fault in one request must not lose the others' tokens
                logger.exception("request %s failed", output.sequence_id)
                running.break_off(Fault(kind="broken", message=BROKEN))

    def _hear(self, output: StepOutput, running: Running, answer: Answer) -> None:
        if output.finish_reason == "error":
            message = _late(running.job) if running.is_late else output.error or BROKEN
            running.break_off(Fault(kind="broken", message=message))
            return
        deltas = answer.feed(output)
        running.take(deltas)
        self._vitals.count_output(running.timing, answer, deltas, num_tokens=len(output.token_ids))
        if following := answer.take_next_sequence():
            self._thread.add(following)
        elif running.is_over:
            self._thread.abort(output.sequence_id)
        elif closing_ids := answer.closing_ids():
            self._thread.force(output.sequence_id, closing_ids)

    def _on_crash(self) -> None:
        self._has_crashed = True
        self.stop()


def _late(job: Job) -> str:
    return LATE.format(job.request.timeout_s or 0)


@contextmanager
def _patience(duty: str) -> Iterator[None]:
    """Go on with a duty although the queue was away for longer than its adapter waits."""
    try:
        yield
    except TransportLost:
        logger.warning("could not %s: the queue is away", duty)
