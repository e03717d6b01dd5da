"""What a backend said, as the API says it: chunks of a stream, or one completion."""

import time
from collections.abc import Iterator
from typing import Any

from inference.schema import (
    ChatDelta,
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ToolCallDelta,
    Usage,
)
from webapp.api import sse
from webapp.billing import estimates

FINGERPRINT = "fp_platform"


class Reply:
    """Everything that was said so far, in order; `finished` is set by the last delta."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.tool_calls: dict[int, dict[str, Any]] = {}
        self.finished: Finished | None = None

    def add(self, delta: ChatDelta) -> None:
        if isinstance(delta, ContentDelta):
            self.content.append(delta.text)
        elif isinstance(delta, ReasoningDelta):
            self.reasoning.append(delta.text)
        elif isinstance(delta, ToolCallDelta):
            self._add_call(delta)
        else:
            self.finished = delta

    @property
    def is_empty(self) -> bool:
        return not (self.content or self.reasoning or self.tool_calls)

    @property
    def message(self) -> dict[str, Any]:
        content = "".join(self.content)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.tool_calls:
            message["content"] = content or None
            message["tool_calls"] = list(self.tool_calls.values())
        return message

    def estimated_usage(self, *, input_text: str) -> Usage:
        """About what was used, for a reply that was cut before its backend could count."""
        reasoning_tokens = estimates.estimated_tokens("".join(self.reasoning))
        said = "".join(self.content) + "".join(_call_text(call) for call in self.tool_calls.values())
        return Usage(
            input_uncached_tokens=estimates.estimated_tokens(input_text),
            output_tokens=reasoning_tokens + estimates.estimated_tokens(said),
            reasoning_tokens=reasoning_tokens,
        )

    def _add_call(self, delta: ToolCallDelta) -> None:
        call = self.tool_calls.setdefault(
            delta.index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = delta.id or call["id"]
        call["function"]["name"] = delta.name or call["function"]["name"]
        call["function"]["arguments"] += delta.arguments


class Writer:
    """Writes one reply's chunks and completion, all under one id, time and model name."""

    def __init__(self, *, id: str, model: str, includes_usage: bool) -> None:
        self._head = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        # With include_usage every chunk but the last says that its usage is null.
        self._tail = {"usage": None} if includes_usage else {}
        self._includes_usage = includes_usage
        self._calls_begun: set[int] = set()

    def beginning(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, delta: ReasoningDelta | ContentDelta | ToolCallDelta) -> bytes:
        if isinstance(delta, ContentDelta):
            return self._chunk({"content": delta.text})
        if isinstance(delta, ReasoningDelta):
            return self._chunk({"reasoning_content": delta.text})
        return self._chunk({"tool_calls": [self._call_piece(delta)]})

    def ending(self, finished: Finished) -> bytes:
        """The chunk that says why it ended, then the usage if it was asked for, then the end mark."""
        return b"".join(self._ending(finished))

    def completion(self, reply: Reply, finished: Finished) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": reply.message,
            "logprobs": None,
            "finish_reason": finished.reason.value,
        }
        usage = usage_shape(finished.usage)
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": usage}

    def _ending(self, finished: Finished) -> Iterator[bytes]:
        usage = usage_shape(finished.usage)
        # Kimi's own clients look for the usage inside the last choice, OpenAI's in a chunk without choices.
        yield self._chunk({}, finish_reason=finished.reason, usage=usage)
        if self._includes_usage:
            yield sse.event({**self._head, "choices": [], "usage": usage})
        yield sse.DONE

    def _chunk(
        self,
        delta: dict[str, Any],
        *,
        finish_reason: FinishReason | None = None,
        usage: dict[str, Any] | None = None,
    ) -> bytes:
        choice: dict[str, Any] = {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        if usage is not None:
            choice["usage"] = usage
        return sse.event({**self._head, "choices": [choice], **self._tail})

    def _call_piece(self, delta: ToolCallDelta) -> dict[str, Any]:
        """The id and the name come once, with the first piece of a call; the index always."""
        function: dict[str, Any] = {"arguments": delta.arguments}
        if delta.index in self._calls_begun:
            return {"index": delta.index, "function": function}
        self._calls_begun.add(delta.index)
        function = {"name": delta.name, **function}
        return {"index": delta.index, "id": delta.id, "type": "function", "function": function}


def usage_shape(usage: Usage) -> dict[str, Any]:
    """OpenAI's shape, with Kimi's `cached_tokens` beside it. Prompt tokens include the cached ones."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": usage.input_cached_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.input_cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _call_text(call: dict[str, Any]) -> str:
    return f"{call['function']['name']} {call['function']['arguments']}"
