"""What a worker tells the world about itself: its heartbeat, its counters, a log line for each answer."""

import logging
import os
import socket
import time
import uuid
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.request_queue.messages import BOUNDS, Heartbeat, Histogram, WorkerState
from inference.schema import ChatDelta, Finished
from inference.worker.answer import Answer

logger = logging.getLogger(__name__)


def _worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


class _Observed:
    """One histogram that grows."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float, *, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, value)] += times
        self._total += value * times

    def histogram(self) -> Histogram:
        return Histogram(counts=tuple(self._counts), total=round(self._total, 6))


@dataclass
class Timing:
    """When a request was taken and when the model's words came, on this machine's own clock."""

    taken_at: float
    waited_s: float = 0.0
    first_at: float | None = None
    last_at: float = 0.0


@dataclass
class Vitals:
    """Counters since the start of the process, and what the engine says of itself (`describe`)."""

    model: str
    worker_id: str = field(default_factory=_worker_id)
    state: WorkerState = WorkerState.LOADING
    progress: float = 0.0
    num_requests: int = 0
    requests_total: int = 0
    aborts_total: int = 0
    errors_total: int = 0
    input_tokens_total: int = 0
    cached_tokens_total: int = 0
    output_tokens_total: int = 0
    describe: Callable[[], Mapping[str, Any]] = dict
    _observed: dict[str, _Observed] = field(
        default_factory=lambda: {name: _Observed(bounds) for name, bounds in BOUNDS.items()}
    )

    def heartbeat(self) -> Heartbeat:
        facts = self.describe()
        num_running = min(self.num_requests, int(facts.get("num_running", self.num_requests)))
        return Heartbeat(
            worker_id=self.worker_id,
            model=self.model,
            state=self.state,
            pid=os.getpid(),
            progress=round(self.progress, 3),
            kernel=str(facts.get("kernel", "")),
            self_test=str(facts.get("self_test", "")),
            context_tokens=int(facts.get("max_context_tokens", 0)),
            num_running=num_running,
            num_waiting=self.num_requests - num_running,
            num_blocks_used=int(facts.get("num_blocks_used", 0)),
            num_blocks_cached=int(facts.get("num_blocks_cached", 0)),
            num_blocks_free=int(facts.get("num_blocks_free", 0)),
            requests_total=self.requests_total,
            aborts_total=self.aborts_total,
            errors_total=self.errors_total,
            preemptions_total=int(facts.get("preemptions_total", 0)),
            input_tokens_total=self.input_tokens_total,
            cached_tokens_total=self.cached_tokens_total,
            output_tokens_total=self.output_tokens_total,
            drafted_tokens_total=int(facts.get("drafted_tokens_total", 0)),
            accepted_tokens_total=int(facts.get("accepted_tokens_total", 0)),
            histograms={name: observed.histogram() for name, observed in self._observed.items()},
        )

    def timing(self, *, waited_s: float = 0.0) -> Timing:
        self.requests_total += 1
        self._observed["queue_s"].add(waited_s)
        return Timing(time.monotonic(), waited_s=waited_s)

    def count_step(self, num_sequences: int) -> None:
        """An engine step that gave tokens to so many sequences."""
        if num_sequences:
            self._observed["batch_size"].add(num_sequences)

    def count_output(
        self, timing: Timing, answer: Answer, deltas: list[ChatDelta], *, num_tokens: int = 1
    ) -> None:
        """`num_tokens` came in one step, with `deltas` made of them."""
        now = time.monotonic()
        if num_tokens and timing.first_at is None:
            timing.first_at = now
            self._observed["ttft_s"].add(timing.waited_s + now - timing.taken_at)
        elif num_tokens:
            self._observed["itl_s"].add((now - timing.last_at) / num_tokens, times=num_tokens)
        timing.last_at = now
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
