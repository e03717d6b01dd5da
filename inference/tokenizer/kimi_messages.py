"""What Kimi's models were trained to see of a conversation, whichever template renders it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from inference.schema import ChatMessage, Role


def numbered(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """The messages with every call named functions.NAME:IDX, counted over the conversation from 0.

    Shown other ids, the model imitates them, and its calls cannot be read. A result is joined to the last
    call before it that bore its id.
    """
    ids: dict[str, str] = {}
    num_calls = 0
    seen: list[ChatMessage] = []
    for message in messages:
        calls = []
        for call in message.tool_calls:
            ids[call.id] = f"functions.{call.name}:{num_calls}"
            calls.append(msgspec.structs.replace(call, id=ids[call.id]))
            num_calls += 1
        answered = message.tool_call_id
        if message.role is Role.TOOL and answered in ids:
            answered = ids[answered]
        seen.append(msgspec.structs.replace(message, tool_calls=tuple(calls), tool_call_id=answered))
    return tuple(seen)


def sorted_keys(value: Any) -> Any:
    """The same JSON with the keys of every object in order, as Kimi's tokenizer declares tools."""
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sorted_keys(item) for item in value]
    return value
