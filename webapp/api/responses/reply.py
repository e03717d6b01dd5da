"""The response object, and the writer of an answer that is made while its client waits."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from inference.schema import (
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ToolCallDelta,
    Usage,
)
from webapp.api import dialects, sse
from webapp.api.chat_reply import Reply
from webapp.api.errors import ApiError
from webapp.api.models import Response
from webapp.api.responses import seal, tools
from webapp.api.responses.telling import COMPLETED, INCOMPLETE, Event, Stored, Telling

SEALED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
# What a response can say of a fault; a fault of the stream itself has our own codes.
ERROR_CODES = {"rate_limit_exceeded": "rate_limit_exceeded", "context_length_exceeded": "invalid_prompt"}


def shape(
    *,
    id: str,
    asked: dict[str, Any],
    created_at: float,
    status: str,
    output: Sequence[Stored] = (),
    usage: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
    incomplete_reason: str = "",
    finished_at: float | None = None,
) -> dict[str, Any]:
    """The object as it is told. `asked` are the fields that repeat the request."""
    return {
        "id": id,
        "object": "response",
        "created_at": int(created_at),
        "status": status,
        "completed_at": int(finished_at) if finished_at and status == COMPLETED else None,
        "error": error,
        "incomplete_details": incomplete_shape(incomplete_reason) if incomplete_reason else None,
        "output": list(output),
        "usage": usage,
        **asked,
    }


def incomplete_shape(reason: str) -> dict[str, Any]:
    """Clients know no limits but that of the output: which one of ours it was stands beside it."""
    known, _, limit = reason.partition(":")
    return {"reason": known, **({"limit": limit} if limit else {})}


def usage_shape(usage: Usage) -> dict[str, Any]:
    """Input tokens include the cached ones. Nobody is billed for filling the cache."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.input_cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def error_shape(error: ApiError) -> dict[str, Any]:
    return {"code": ERROR_CODES.get(error.code or "", "server_error"), "message": str(error)}


def said(telling: Telling, delta: ReasoningDelta | ContentDelta | ToolCallDelta) -> list[Event]:
    """What is told of a piece of the model's."""
    if isinstance(delta, ReasoningDelta):
        return telling.reasoning(delta.text)
    if isinstance(delta, ContentDelta):
        return telling.text(delta.text, delta.logprobs)
    return telling.call(delta.index, call_id=delta.id, name=delta.name, arguments=delta.arguments)


def ended(finished: Finished) -> tuple[str, str]:
    """The status of a response whose model has ended so, and why it is not whole."""
    if finished.reason is FinishReason.LENGTH:
        return INCOMPLETE, "max_output_tokens"
    return COMPLETED, ""


def telling_for(told: dict[str, Any], response_id: str, *, tenant: str) -> Telling:
    """How this response is told, by the request as its answer repeats it: the same whoever tells it."""
    wants_summary = told["reasoning"]["summary"] not in (None, "none")
    include: Sequence[str] = told["include"]
    return Telling(
        response_id,
        custom=tools.custom_names(told["tools"]),
        namespaces=tools.names_within(told["tools"]),
        is_summary=wants_summary,
        shows_logprobs=bool(told["top_logprobs"]) or LOGPROBS in include,
        seal=partial(seal.closed, tenant=tenant, kind="reasoning") if SEALED in include else None,
    )


def telling_of(response: Response) -> Telling:
    """How a kept response is told."""
    return telling_for(response.asked, response.id, tenant=str(response.user_id))


class Writer:
    """Writes one call's events, or its one object. `keep_whole` is called with the object once it is whole:
    what is kept is kept before anybody is told that it ended. With it comes the number of the last event."""

    def __init__(
        self,
        telling: Telling,
        *,
        id: str,
        asked: dict[str, Any],
        keep_whole: Callable[[dict[str, Any], int], None] | None = None,
    ) -> None:
        self._telling = telling
        self._id = id
        self._asked = asked
        self._keep_whole = keep_whole
        self._created_at = time.time()
        self._has_begun = False
        self._whole: dict[str, Any] | None = None

    def ping(self) -> bytes:
        return sse.PING

    def piece(self, index: int, delta: ReasoningDelta | ContentDelta | ToolCallDelta) -> bytes:
        return self._beginning() + written(said(self._telling, delta))

    def ending(self, reply: Reply, finished: Finished, *, usage: Usage | None = None) -> bytes:
        beginning = self._beginning()
        status, reason = ended(finished)
        told = self._telling.close(status)
        self._whole = self._shape(status, usage=usage or finished.usage, incomplete_reason=reason)
        return beginning + written([*told, *self._telling.end(self._whole)])

    def completion(self, replies: Sequence[Reply], *, usage: Usage) -> dict[str, Any]:
        (reply,) = replies
        for delta in _deltas(reply):
            said(self._telling, delta)
        assert reply.finished is not None
        self.ending(reply, reply.finished, usage=usage)
        assert self._whole is not None
        return self._whole

    @property
    def keep(self) -> Callable[[], None] | None:
        if self._keep_whole is None or self._whole is None:
            return None
        return partial(self._keep_whole, self._whole, self._telling.next_number - 1)

    def fault(self, error: ApiError) -> bytes:
        """The end of a stream that broke: what went wrong, and the response that failed by it."""
        beginning = self._beginning()
        told = self._telling.fault(code=error.code, message=str(error), param=error.param)
        told += self._telling.close(INCOMPLETE)
        told += self._telling.end(self._shape("failed", error=error_shape(error)))
        return beginning + written(told)

    def _beginning(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        response = self._shape("in_progress", output=[])
        return written([*self._telling.begin(response), *self._telling.started(response)])

    def _shape(
        self,
        status: str,
        *,
        output: Sequence[Stored] | None = None,
        usage: Usage | None = None,
        error: dict[str, Any] | None = None,
        incomplete_reason: str = "",
    ) -> dict[str, Any]:
        return shape(
            id=self._id,
            asked=self._asked,
            created_at=self._created_at,
            status=status,
            output=self._telling.items if output is None else output,
            usage=usage_shape(usage) if usage else None,
            error=error,
            incomplete_reason=incomplete_reason,
            finished_at=time.time(),
        )


class Dialect(dialects.OpenAI):
    """OpenAI's manner, in which the faults of a stream are events of the response that it tells."""

    def __init__(self) -> None:
        self.writer: Writer | None = None

    def fault_event(self, error: ApiError, *, request_id: str) -> bytes:
        if self.writer is None:
            return super().fault_event(error, request_id=request_id)
        return self.writer.fault(error)


def written(events: Sequence[Event]) -> bytes:
    return b"".join(sse.named_event(event) for event in events)


def _deltas(reply: Reply) -> list[ReasoningDelta | ContentDelta | ToolCallDelta]:
    """What was said in the order in which it is told: a choice that was not streamed has none of its own."""
    deltas: list[ReasoningDelta | ContentDelta | ToolCallDelta] = []
    if reply.reasoning:
        deltas.append(ReasoningDelta("".join(reply.reasoning)))
    if reply.content:
        deltas.append(ContentDelta("".join(reply.content), tuple(reply.logprobs)))
    for index, call in reply.tool_calls.items():
        function = call["function"]
        deltas.append(
            ToolCallDelta(index=index, id=call["id"], name=function["name"], arguments=function["arguments"])
        )
    return deltas
