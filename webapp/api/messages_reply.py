"""What a backend said, as Anthropic's dialect says it: blocks, one after the other, or one message."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from inference.schema import (
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ToolCallDelta,
    Usage,
)
from webapp.api import sse, tool_use_id
from webapp.api.chat_reply import Reply

STOP_REASONS = {FinishReason.LENGTH: "max_tokens", FinishReason.TOOL_CALLS: "tool_use"}
PING = sse.named_event({"type": "ping"})

Block = tuple[str, int]  # its type, and which call it is


class Writer:
    """Writes one call's events. Blocks come one after the other; what they hold comes in order.

    What the prompt counts is known at the end: the beginning tells the estimate that a cut stream is billed
    by, and the end's figures, which are cumulative, take its place.
    """

    keep = None  # nothing of it lasts

    def __init__(
        self, *, id: str, model: str, estimated_input_tokens: int, sign: Callable[[str], str]
    ) -> None:
        self._id = id
        self._model = model
        self._estimated_input_tokens = estimated_input_tokens
        self._sign = sign
        self._has_begun = False
        self._open: Block | None = None
        self._places: dict[Block, int] = {}
        self._num_blocks = 0
        self._thinking: list[str] = []  # of the open block

    def ping(self) -> bytes:
        """Not before the message has begun: some clients expect nothing else first."""
        return self._beginning() + PING

    def piece(self, index: int, delta: ReasoningDelta | ContentDelta | ToolCallDelta) -> bytes:
        parts = [self._beginning()]
        if isinstance(delta, ToolCallDelta):
            block = ("tool_use", delta.index)
            # A provider may come back to a call: its block goes on where it stands.
            if block not in self._places:
                parts.append(self._start(block, self._tool_use(delta.id, delta.name, {})))
            said = {"type": "input_json_delta", "partial_json": delta.arguments}
        elif isinstance(delta, ReasoningDelta):
            block = ("thinking", -1)
            if self._open != block:
                parts.append(self._start(block, {"type": "thinking", "thinking": "", "signature": ""}))
            self._thinking.append(delta.text)
            said = {"type": "thinking_delta", "thinking": delta.text}
        else:
            block = ("text", -1)
            if self._open != block:
                parts.append(self._start(block, {"type": "text", "text": ""}))
            said = {"type": "text_delta", "text": delta.text}
        return b"".join([*parts, self._delta(self._places[block], said)])

    def ending(self, reply: Reply, finished: Finished, *, usage: Usage | None = None) -> bytes:
        told = {
            "type": "message_delta",
            "delta": _stop(finished),
            "usage": usage_shape(usage or finished.usage),
        }
        stop = sse.named_event({"type": "message_stop"})
        return self._beginning() + self._close() + sse.named_event(told) + stop

    def completion(self, replies: Sequence[Reply], *, usage: Usage) -> dict[str, Any]:
        (reply,) = replies
        content: list[dict[str, Any]] = []
        if thinking := "".join(reply.reasoning):
            content.append({"type": "thinking", "thinking": thinking, "signature": self._sign(thinking)})
        if text := "".join(reply.content):
            content.append({"type": "text", "text": text})
        for call in reply.tool_calls.values():
            function = call["function"]
            content.append(self._tool_use(call["id"], function["name"], _input(function["arguments"])))
        stop = _stop(reply.finished) if reply.finished else {}
        return {**self._head(usage_shape(usage)), "content": content, **stop}

    def _head(self, usage: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }

    def _tool_use(self, id: str, name: str, input: dict[str, Any]) -> dict[str, Any]:
        written = tool_use_id.written(id, request_id=self._id)
        return {"type": "tool_use", "id": written, "name": name, "input": input}

    def _beginning(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        estimate = Usage(input_uncached_tokens=self._estimated_input_tokens)
        return sse.named_event({"type": "message_start", "message": self._head(usage_shape(estimate))})

    def _start(self, block: Block, shape: dict[str, Any]) -> bytes:
        closing = self._close()
        self._open = block
        place = self._places[block] = self._num_blocks
        self._num_blocks += 1
        started = {"type": "content_block_start", "index": place, "content_block": shape}
        return closing + sse.named_event(started)

    def _delta(self, place: int, said: dict[str, Any]) -> bytes:
        return sse.named_event({"type": "content_block_delta", "index": place, "delta": said})

    def _close(self) -> bytes:
        """The open block's end; thinking is signed with it."""
        if self._open is None:
            return b""
        place, signature = self._places[self._open], b""
        if self._thinking:
            signed = {"type": "signature_delta", "signature": self._sign("".join(self._thinking))}
            signature = self._delta(place, signed)
            self._thinking = []
        self._open = None
        return signature + sse.named_event({"type": "content_block_stop", "index": place})


def usage_shape(usage: Usage) -> dict[str, Any]:
    """Input tokens leave out the cached ones here, which OpenAI's shape includes."""
    return {
        "input_tokens": usage.input_uncached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.input_cached_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _stop(finished: Finished) -> dict[str, Any]:
    if finished.stop_sequence:
        return {"stop_reason": "stop_sequence", "stop_sequence": finished.stop_sequence}
    return {"stop_reason": STOP_REASONS.get(finished.reason, "end_turn"), "stop_sequence": None}


def _input(arguments: str) -> dict[str, Any]:
    """A call's arguments; those that are no JSON object (the answer was cut in them) as text under a name
    that says so.
    """
    try:
        read = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        read = None
    return read if isinstance(read, dict) else {"INVALID_JSON": arguments}
