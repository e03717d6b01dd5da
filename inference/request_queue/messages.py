"""What passes through the request queue. Plain data; no transport."""

from enum import StrEnum
from typing import Literal

import msgspec

from inference.schema import ChatDelta, ChatRequest, ContentDelta, ReasoningDelta, ToolCallDelta

# A worker whose heartbeat is this old is dead: its requests are taken over, its readers told.
HEARTBEAT_S = 1.0
HEARTBEAT_TTL_S = 3.0
# A request whose reader has shown no sign of life for this long is aborted: nobody wants its answer.
READER_TTL_S = 5.0


class Submit(msgspec.Struct, frozen=True, tag="submit"):
    """Caller → worker: answer this request."""

    request: ChatRequest


class Abort(msgspec.Struct, frozen=True, tag="abort"):
    """Caller → worker: stop working on the request; nobody reads its replies any more."""

    request_id: str


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """First reply: this worker has the request."""

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
    """A request's place in the queue of a model."""

    model: str
    request_id: str
    entry_id: str


class Job(msgspec.Struct, frozen=True):
    """A request handed to a worker. `is_taken_over`: another worker died while it was answering it."""

    ticket: Ticket
    request: ChatRequest
    is_taken_over: bool = False


class WorkerState(StrEnum):
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's sign of life, written each second. Totals count from its start, for /metrics."""

    worker_id: str
    model: str
    state: WorkerState
    pid: int
    progress: float = 0.0
    kernel: str = ""
    context_tokens: int = 0
    num_running: int = 0
    num_waiting: int = 0
    requests_total: int = 0
    aborts_total: int = 0
    errors_total: int = 0
    input_tokens_total: int = 0
    cached_tokens_total: int = 0
    output_tokens_total: int = 0
    ttft_ms_total: int = 0
    ttft_total: int = 0


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
        return ReasoningDelta(left.text + right.text)
    if isinstance(left, ContentDelta) and isinstance(right, ContentDelta):
        return ContentDelta(left.text + right.text)
    if isinstance(left, ToolCallDelta) and isinstance(right, ToolCallDelta) and left.index == right.index:
        return msgspec.structs.replace(left, arguments=left.arguments + right.arguments)
    return None
