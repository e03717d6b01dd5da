"""What passes through the request queue. Plain data; no transport."""

from enum import StrEnum
from typing import Literal

import msgspec

from inference.schema import ChatDelta, ChatRequest, ContentDelta, ReasoningDelta, ToolCallDelta

# A worker whose heartbeat is this old is dead: its requests are taken over, its readers told.
HEARTBEAT_S = 1.0
HEARTBEAT_TTL_S = 3.0
# A request whose reader has shown no sign of life for this long is aborted: nobody wants its answer.
READER_TTL_S = 8.0


class Submit(msgspec.Struct, frozen=True, tag="submit"):
    """Caller → worker: answer this request."""

    request: ChatRequest


class Abort(msgspec.Struct, frozen=True, tag="abort"):
    """Caller → worker: stop working on the request; nobody reads its replies any more."""

    request_id: str


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """First reply: this worker has the request. Another follows when that one is gone before it began."""

    worker_id: str


class Deltas(msgspec.Struct, frozen=True, tag="deltas"):
    """What the model said since the last reply, in order. The batch with `Finished` is the last reply."""

    deltas: tuple[ChatDelta, ...]


class Fault(msgspec.Struct, frozen=True, tag="fault", kw_only=True):
    """Last reply of a request that failed. `message` is for the user."""

    kind: Literal["rejected", "overloaded", "broken"]
    message: str
    retry_after_s: float = 0.0


Reply = Accepted | Deltas | Fault


class Numbered(msgspec.Struct, frozen=True):
    """A reply and its place: replies are numbered densely from 1, so a reader sees when one is lost."""

    number: int
    reply: Reply


class Ticket(msgspec.Struct, frozen=True):
    """A request's place in a queue of a model: that of the worker `owner`, or the one that all share."""

    model: str
    request_id: str
    entry_id: str
    owner: str = ""


class Job(msgspec.Struct, frozen=True):
    """A request handed to a worker, `waited_s` after it was sent.

    Another worker may have had it before: `num_replies` were written then, and when it `has_begun`, a part of
    the answer is among them.
    """

    ticket: Ticket
    request: ChatRequest
    waited_s: float = 0.0
    num_replies: int = 0
    has_begun: bool = False


class WorkerState(StrEnum):
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Histogram(msgspec.Struct, frozen=True):
    """How many observations fell under each bound and over the one before; the last count is of those above
    all bounds. `total` is the sum of what was observed.
    """

    counts: tuple[int, ...] = ()
    total: float = 0.0


# The upper bounds of each histogram of a heartbeat.
BOUNDS: dict[str, tuple[float, ...]] = {
    "queue_s": (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    "ttft_s": (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
    "itl_s": (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5),
    "batch_size": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
}


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's sign of life, written each second. Totals count from its start, for /metrics.

    `kernel` is what computes the weights' products, `self_test` how it proved right at start-up. Blocks are
    those of the paged KV cache: `used` by running requests, `cached` for later ones, `free`. Drafted tokens
    were guessed ahead; those accepted are part of the output.
    """

    worker_id: str
    model: str
    state: WorkerState
    pid: int
    progress: float = 0.0
    kernel: str = ""
    self_test: str = ""
    context_tokens: int = 0
    num_running: int = 0
    num_waiting: int = 0
    num_blocks_used: int = 0
    num_blocks_cached: int = 0
    num_blocks_free: int = 0
    requests_total: int = 0
    aborts_total: int = 0
    errors_total: int = 0
    preemptions_total: int = 0
    input_tokens_total: int = 0
    cached_tokens_total: int = 0
    output_tokens_total: int = 0
    drafted_tokens_total: int = 0
    accepted_tokens_total: int = 0
    histograms: dict[str, Histogram] = {}


def merge(deltas: list[ChatDelta]) -> tuple[ChatDelta, ...]:
    """The same deltas with neighbours of one channel joined: fewer, larger pieces for the wire."""
    merged: list[ChatDelta] = []
    for delta in deltas:
        joined = _join(merged[-1], delta) if merged else None
        if joined is None:
            merged.append(delta)
        else:
            merged[-1] = joined
    return tuple(merged)


def _join(left: ChatDelta, right: ChatDelta) -> ChatDelta | None:
    if isinstance(left, ReasoningDelta) and isinstance(right, ReasoningDelta):
        return ReasoningDelta(left.text + right.text, logprobs=left.logprobs + right.logprobs)
    if isinstance(left, ContentDelta) and isinstance(right, ContentDelta):
        return ContentDelta(left.text + right.text, logprobs=left.logprobs + right.logprobs)
    if isinstance(left, ToolCallDelta) and isinstance(right, ToolCallDelta) and left.index == right.index:
        return msgspec.structs.replace(left, arguments=left.arguments + right.arguments)
    return None
