"""A move as OpenAI's chat completions write it: chunks of a stream, usage, errors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tests.loopforge.course import Move
from tests.loopforge.talk import text

CHARS_OF_TOKEN = 4
BLOCK = 64  # tokens that are cached together
_ENCODER = msgspec.json.Encoder()
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, kw_only=True)
class Counted:
    prompt: int
    cached: int


def num_tokens(words: str) -> int:
    return -(-len(words) // CHARS_OF_TOKEN)


def tokens_of(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """The tokens of each message, with what a template puts around it."""
    return [4 + num_tokens(_whole(message)) for message in messages]


def _whole(message: Mapping[str, Any]) -> str:
    calls = "".join(
        f"{call['id']}{call['function']['arguments']}" for call in message.get("tool_calls") or ()
    )
    return f"{message.get('reasoning_content') or ''}{text(message)}{calls}"


def counted(messages: Sequence[Mapping[str, Any]]) -> Counted:
    """By rule: what was in the prompt of the step before is cached, in whole blocks."""
    each = tokens_of(messages)
    steps = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    before = sum(each[: steps[-1]]) if steps else 0
    return Counted(prompt=sum(each), cached=before // BLOCK * BLOCK)


def usage(move: Move, count: Counted) -> dict[str, Any]:
    thought = num_tokens(move.reasoning)
    said = num_tokens(move.content) + sum(num_tokens(call.id + call.arguments) for call in move.calls)
    return {
        "prompt_tokens": count.prompt,
        "completion_tokens": thought + said,
        "total_tokens": count.prompt + thought + said,
        "cached_tokens": count.cached,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def chunks(move: Move, count: Counted, *, model: str) -> Iterator[bytes]:
    """Server-sent events: reasoning, content and each call in two pieces, then the reason and the usage."""
    head = {"id": f"forge-{move.step}", "object": "chat.completion.chunk", "created": 1, "model": model}
    for piece in _halves(move.reasoning):
        yield _event(head, {"reasoning_content": piece})
    for piece in _halves(move.content):
        yield _event(head, {"content": piece})
    for index, call in enumerate(move.calls):
        first, *rest = _halves(call.arguments) or [""]
        named = {"index": index, "type": "function", "function": {"name": call.name, "arguments": first}}
        yield _event(head, {"tool_calls": [named | ({"id": call.id} if call.id else {})]})
        for piece in rest:
            yield _event(head, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield _event(head, {}, finish_reason="tool_calls" if move.calls else "stop")
    yield b"data: " + _ENCODER.encode(head | {"choices": [], "usage": usage(move, count)}) + b"\n\n"
    yield DONE


def whole(move: Move, count: Counted, *, model: str) -> dict[str, Any]:
    """The reply in one piece, for clients that do not stream."""
    message: dict[str, Any] = {"role": "assistant", "content": move.content}
    message["reasoning_content"] = move.reasoning
    if move.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in move.calls
        ]
    reason = "tool_calls" if move.calls else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    head = {"id": f"forge-{move.step}", "object": "chat.completion", "created": 1, "model": model}
    return head | {"choices": [choice], "usage": usage(move, count)}


def error(message: str, *, code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _halves(words: str) -> list[str]:
    middle = len(words) // 2
    return [piece for piece in (words[:middle], words[middle:]) if piece]


def _event(head: Mapping[str, Any], delta: Mapping[str, Any], *, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + _ENCODER.encode({**head, "choices": [choice]}) + b"\n\n"
