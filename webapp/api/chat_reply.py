"""What a backend said, as the API says it: chunks of a stream, or one completion."""

import time
from collections.abc import Sequence
from typing import Any

import orjson

from inference.backends.base import StreamBroken
from inference.schema import (
    ChatDelta,
    ContentDelta,
    Finished,
    FinishReason,
    LikelyToken,
    ReasoningDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from webapp.api import sse
from webapp.billing import estimates

FINGERPRINT = "fp_platform"
# What OpenAI writes for a token that cannot come: JSON has no infinity.
LEAST_LOGPROB = -9999.0


class Reply:
    """Everything that choice number `index` said so far, in order; `finished` is set by the last delta.

    `logprobs` are those of the content.
    """

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.tool_calls: dict[int, dict[str, Any]] = {}
        self.logprobs: list[TokenLogprob] = []
        self.finished: Finished | None = None

    def add(self, delta: ChatDelta) -> None:
        if isinstance(delta, ContentDelta):
            self.content.append(delta.text)
            self.logprobs += delta.logprobs
        elif isinstance(delta, ReasoningDelta):
            self.reasoning.append(delta.text)
        elif isinstance(delta, ToolCallDelta):
            self._add_call(delta)
        else:
            self.finished = delta

    def cut(self, reason: FinishReason) -> None:
        """End it here; nobody counted what it used."""
        self.finished = Finished(reason=reason)

    def require_end(self) -> Finished:
        """The end, of a reply that ended well. Raises StreamBroken for any other."""
        finished = self.finished
        if finished is None or finished.reason in (FinishReason.ERROR, FinishReason.CANCELLED):
            raise StreamBroken(finished.detail if finished and finished.detail else "The answer broke off.")
        return finished

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

    @property
    def calls(self) -> list[ToolCall]:
        return [
            ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in self.tool_calls.values()
        ]

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
    """Writes one call's chunks and completion, all under one id, time and model name."""

    keep = None  # nothing of it lasts

    def __init__(self, *, id: str, model: str, includes_usage: bool, shows_logprobs: bool) -> None:
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
        self._shows_logprobs = shows_logprobs
        # Nearly every chunk is of content: all of it but the text is made once.
        self._around_content = self._split({"content": "\0"}), self._split({"reasoning_content": "\0"})
        self._begun: set[int] = set()
        self._calls_begun: set[tuple[int, int]] = set()

    def ping(self) -> bytes:
        return sse.PING

    def piece(self, index: int, delta: ReasoningDelta | ContentDelta | ToolCallDelta) -> bytes:
        """What choice number `index` says next; its first piece has the chunk with the role before it."""
        return self._beginning(index) + self._piece(index, delta)

    def ending(self, reply: Reply, finished: Finished, *, usage: Usage | None = None) -> bytes:
        """The chunk that says why the choice ended. With `usage`, that of the whole call, it is the last."""
        choice = self._choice(reply.index, {}) | {"finish_reason": finished.reason}
        if usage is None:
            return self._beginning(reply.index) + self._chunk(choice)
        shape = usage_shape(usage)
        # Kimi's own clients look for the usage inside the last choice, OpenAI's in a chunk without choices.
        parts = [self._beginning(reply.index), self._chunk(choice | {"usage": shape})]
        if self._includes_usage:
            parts.append(sse.event({**self._head, "choices": [], "usage": shape}))
        return b"".join([*parts, sse.DONE])

    def completion(self, replies: Sequence[Reply], *, usage: Usage) -> dict[str, Any]:
        """All choices, each of which is finished."""
        choices = [
            {
                "index": reply.index,
                "message": reply.message,
                "logprobs": logprobs_shape(reply.logprobs) if self._shows_logprobs else None,
                "finish_reason": reply.finished.reason if reply.finished else None,
            }
            for reply in replies
        ]
        return {
            **self._head,
            "object": "chat.completion",
            "choices": choices,
            "usage": usage_shape(usage),
        }

    def _beginning(self, index: int) -> bytes:
        if index in self._begun:
            return b""
        self._begun.add(index)
        return self._chunk(self._choice(index, {"role": "assistant", "content": ""}))

    def _piece(self, index: int, delta: ReasoningDelta | ContentDelta | ToolCallDelta) -> bytes:
        if index == 0 and not isinstance(delta, ToolCallDelta) and not delta.logprobs:
            before, after = self._around_content[isinstance(delta, ReasoningDelta)]
            return before + orjson.dumps(delta.text) + after
        if isinstance(delta, ReasoningDelta):
            return self._chunk(self._choice(index, {"reasoning_content": delta.text}))
        if isinstance(delta, ToolCallDelta):
            return self._chunk(self._choice(index, {"tool_calls": [self._call_piece(index, delta)]}))
        choice = self._choice(index, {"content": delta.text})
        if self._shows_logprobs and delta.logprobs:
            choice["logprobs"] = logprobs_shape(delta.logprobs)
        return self._chunk(choice)

    def _split(self, delta: dict[str, str]) -> tuple[bytes, bytes]:
        before, _, after = self._chunk(self._choice(0, delta)).partition(b'"\\u0000"')
        return before, after

    def _choice(self, index: int, delta: dict[str, Any]) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}

    def _chunk(self, choice: dict[str, Any]) -> bytes:
        return sse.event({**self._head, "choices": [choice], **self._tail})

    def _call_piece(self, index: int, delta: ToolCallDelta) -> dict[str, Any]:
        """The id and the name come once, with the first piece of a call; the index always."""
        function: dict[str, Any] = {"arguments": delta.arguments}
        if (index, delta.index) in self._calls_begun:
            return {"index": delta.index, "function": function}
        self._calls_begun.add((index, delta.index))
        function = {"name": delta.name, **function}
        return {"index": delta.index, "id": delta.id, "type": "function", "function": function}


def logprobs_shape(logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    content = [
        {**_token_shape(token.drawn), "top_logprobs": [_token_shape(likely) for likely in token.top]}
        for token in logprobs
    ]
    return {"content": content, "refusal": None}


def _token_shape(likely: LikelyToken) -> dict[str, Any]:
    return {
        "token": likely.token,
        "logprob": max(likely.logprob, LEAST_LOGPROB),
        "bytes": list(likely.token_bytes),
    }


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
