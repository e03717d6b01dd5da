"""A request at hand, between the engine that makes its deltas and the queue that takes them."""

import asyncio
import time

from inference.request_queue.messages import Fault, Job, Reply
from inference.request_queue.transport import WorkerTransport
from inference.schema import ChatDelta, Finished
from inference.worker.answer import Answer
from inference.worker.vitals import Timing


class Running:
    """`has_begun` once a part of the answer may have been read: nobody else can answer it then."""

    task: asyncio.Task[None]

    def __init__(self, job: Job, timing: Timing) -> None:
        self.job = job
        self.timing = timing
        self.answer: Answer | None = None
        self.deltas: list[ChatDelta] = []
        self.has_deltas = asyncio.Event()
        self.fault: Fault | None = None
        self.has_begun = False
        self.is_over = False
        self.is_handed_back = False
        self._number = job.num_replies

    @property
    def deadline_at(self) -> float | None:
        """On this machine's clock (time.monotonic); None when the request may take as long as it likes."""
        timeout_s = self.job.request.timeout_s
        return None if timeout_s is None else self.timing.taken_at - self.job.waited_s + timeout_s

    @property
    def is_late(self) -> bool:
        return self.deadline_at is not None and time.monotonic() >= self.deadline_at

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
        """Write the next reply; False when another worker wrote it."""
        self._number += 1
        return await transport.reply(self.job.ticket, number=self._number, reply=reply)
