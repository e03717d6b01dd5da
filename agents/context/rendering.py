"""One step or note as the messages that the model reads, whole or with its results hidden."""

import json

import msgspec

from agents.transcript import CallRecord, Note, Step
from inference.schema import ERROR_MARK, PLATFORM_MARK, ChatMessage, Role, ToolCall

INTERRUPTED = "interrupted: nothing is known of what this call brought."
FIRST_CHARS = 160  # of a hidden result
ARGUMENT_CHARS = 80
ARGUMENTS_CHARS = 240


def platform_message(text: str) -> ChatMessage:
    """A user message: many chat templates refuse a system message in the midst of a conversation."""
    return ChatMessage(role=Role.USER, content=f"{PLATFORM_MARK}{text}")


def note_messages(note: Note) -> tuple[ChatMessage, ...]:
    return (platform_message(note.text),) if note.text else ()


def step_messages(step: Step, *, is_hidden: bool = False) -> tuple[ChatMessage, ...]:
    """The reply with its reasoning, then a result for every call of it."""
    calls = tuple(record.call for record in step.calls)
    if not (step.content or calls):
        return ()  # a model that only thought is asked again; many providers refuse an empty message
    reply = ChatMessage(role=Role.ASSISTANT, content=step.content, reasoning=step.reasoning, tool_calls=calls)
    return (reply, *(result_message(record, is_hidden=is_hidden) for record in step.calls))


def result_message(record: CallRecord, *, is_hidden: bool) -> ChatMessage:
    text = INTERRUPTED
    if record.result is not None:
        text = f"{ERROR_MARK if record.result.is_error else ''}{record.result.for_model}"
    if is_hidden:
        text = min(hidden(record), text, key=len)
    return ChatMessage(role=Role.TOOL, content=text, tool_call_id=record.call.id, name=record.call.name)


def hidden_message(result: ChatMessage) -> ChatMessage:
    """A result of an earlier turn, of which nothing else is known here."""
    begins = one_line(result.content, FIRST_CHARS)
    size = f"result of {len(result.content)} characters"
    text = f'[hidden; recall("{result.tool_call_id}") brings it back] {result.name}: {size}: {begins}'
    return msgspec.structs.replace(result, content=min(text, result.content, key=len))


def hidden(record: CallRecord) -> str:
    """What stands for a hidden result: one line that says what it was and how to have it back."""
    return f'[hidden; recall("{record.call.id}") brings it back] {synopsis(record)}'


def synopsis(record: CallRecord, *, quotes: bool = True) -> str:
    """One line: the tool, its arguments, and how its result begins, unless that is not to be quoted."""
    call = f"{record.call.name}({short_arguments(record.call)})"
    if record.result is None:
        return f"{call}: {INTERRUPTED}"
    text = record.result.for_model
    kind = "error" if record.result.is_error else "result"
    size = f"{call}: {kind} of {len(text)} characters"
    return f"{size}: {one_line(text, FIRST_CHARS)}" if quotes else size


def indexed(record: CallRecord) -> str:
    """A line for a call whose step has left the view. It stands in a message of the platform, so it does not
    quote what a stranger may have written there for the model to obey."""
    is_safe = record.result is not None and record.result.trust.is_trusted
    return f"- {record.call.id} {synopsis(record, quotes=is_safe)}"


def short_arguments(call: ToolCall) -> str:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return one_line(call.arguments, ARGUMENTS_CHARS)
    if not isinstance(arguments, dict):
        return one_line(call.arguments, ARGUMENTS_CHARS)
    pairs = (f"{name}={_short(value)}" for name, value in arguments.items())
    return one_line(", ".join(pairs), ARGUMENTS_CHARS)


def one_line(text: str, num_chars: int) -> str:
    words = " ".join(text[: num_chars * 4].split())
    return words if len(words) <= num_chars else f"{words[: num_chars - 1]}…"


def _short(value: object) -> str:
    return one_line(json.dumps(value, ensure_ascii=False), ARGUMENT_CHARS)
