"""What a worker tells the world about itself: its heartbeat, its counters, a log line for each answer."""

import logging
import os
import socket
import time
import uuid
from dataclasses import dataclass, field

from inference.request_queue.messages import Heartbeat, WorkerState
from inference.schema import ChatDelta, Finished
from inference.worker.answer import Answer

logger = logging.getLogger(__name__)


def _worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


@dataclass
class Timing:
    """When a request was taken and when the model's first word came, on this machine's own clock."""

    taken_at: float
    first_at: float | None = None


@dataclass
class Vitals:
    """Counters since the start of the process."""

    model: str
    worker_id: str = field(default_factory=_worker_id)
    state: WorkerState = WorkerState.LOADING
    progress: float = 0.0
    kernel: str = ""
    context_tokens: int = 0
    max_running: int = 16
    num_requests: int = 0
    requests_total: int = 0
    aborts_total: int = 0
    errors_total: int = 0
    input_tokens_total: int = 0
    cached_tokens_total: int = 0
    output_tokens_total: int = 0
    ttft_ms_total: int = 0
    ttft_total: int = 0

    def heartbeat(self) -> Heartbeat:
        num_running = min(self.num_requests, self.max_running)
        return Heartbeat(
            worker_id=self.worker_id,
            model=self.model,
            state=self.state,
            pid=os.getpid(),
            progress=round(self.progress, 3),
            kernel=self.kernel,
            context_tokens=self.context_tokens,
            num_running=num_running,
            num_waiting=self.num_requests - num_running,
            requests_total=self.requests_total,
            aborts_total=self.aborts_total,
            errors_total=self.errors_total,
            input_tokens_total=self.input_tokens_total,
            cached_tokens_total=self.cached_tokens_total,
            output_tokens_total=self.output_tokens_total,
            ttft_ms_total=self.ttft_ms_total,
            ttft_total=self.ttft_total,
        )

    def timing(self) -> Timing:
        self.requests_total += 1
        return Timing(time.monotonic())

    def count_output(self, timing: Timing, answer: Answer, deltas: list[ChatDelta]) -> None:
        if timing.first_at is None:
            timing.first_at = time.monotonic()
            self.ttft_total += 1
            self.ttft_ms_total += round(1000 * (timing.first_at - timing.taken_at))
        if deltas and isinstance(deltas[-1], Finished):
            self._count(answer)
            _log(timing, answer, deltas[-1].reason.value)

    def count_abort(self, timing: Timing, answer: Answer | None) -> None:
        self.aborts_total += 1
        if answer is not None:
            self._count(answer)
            _log(timing, answer, "aborted")

    def count_error(self) -> None:
        self.errors_total += 1

    def _count(self, answer: Answer) -> None:
        self.output_tokens_total += answer.num_output_tokens
        self.input_tokens_total += len(answer.sequence.prompt_ids)
        self.cached_tokens_total += answer.num_cached_tokens


def _log(timing: Timing, answer: Answer, end: str) -> None:
    now = time.monotonic()
    first_at = timing.first_at or now
    generating_s = now - first_at
    logger.info(
        "request %s %s: %d input (%d cached), %d output (%d reasoning), first token %.0f ms, %.1f tokens/s",
        answer.sequence.id,
        end,
        len(answer.sequence.prompt_ids),
        answer.num_cached_tokens,
        answer.num_output_tokens,
        answer.num_reasoning_tokens,
        1000 * (first_at - timing.taken_at),
        (answer.num_output_tokens - 1) / generating_s if generating_s > 0 else 0.0,
    )
