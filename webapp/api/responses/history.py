"""From items to a conversation for the model: text, reasoning, calls, results."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import orjson

from inference.schema import ERROR_MARK, ChatMessage, Role, ToolCall
from webapp.api import lost_reasoning
from webapp.api.errors import bad_request
from webapp.api.responses import items, seal, tools
from webapp.api.responses.items import Stored
from webapp.billing import estimates

SUMMARY_INTRODUCED = "What was said before, in short:\n"
CALLS = ("function_call", "custom_tool_call")
RESULTS = ("function_call_output", "custom_tool_call_output")


def check(said: Sequence[Stored]) -> None:
    """Raises ApiError 400 for results of no call and calls without results."""
    open_calls: set[str] = set()
    for item in said:
        if item["type"] in CALLS:
            open_calls.add(item["call_id"])
        elif item["type"] in RESULTS:
            if item["call_id"] not in open_calls:
                raise bad_request(
                    f"No call is known that the output of {item['call_id'][:80]!r} answers: send the call, "
                    "or `previous_response_id`, too.",
                    param="input",
                )
            open_calls.discard(item["call_id"])
    if open_calls:
        raise bad_request(
            f"The call {min(open_calls)[:80]!r} has no output: send one for each call.", param="input"
        )


def read(said: Sequence[Stored], *, instructions: str | None, tenant: str) -> tuple[ChatMessage, ...]:
    """Reasoning is kept for the running tool loop only. Raises ApiError 400 for what the model cannot see."""
    reader = _Reader(tenant=tenant)
    for index, item in enumerate(said):
        reader.add(item, place=f"input[{index}]")
    messages = reader.done()
    if instructions:
        messages = (ChatMessage(role=Role.SYSTEM, content=instructions), *messages)
    loop_begins = lost_reasoning.loop_begins(messages)
    done = (msgspec.structs.replace(message, reasoning="") for message in messages[:loop_begins])
    return (*done, *messages[loop_begins:])


def shortened(messages: Sequence[ChatMessage], *, most_tokens: int) -> tuple[ChatMessage, ...]:
    """Without the oldest exchanges, as far as the rest is to be no longer than this: `truncation: auto`."""
    kept = list(messages)
    lengths = [estimates.estimated_tokens(msgspec.json.encode(message).decode()) for message in kept]
    while sum(lengths) > most_tokens:
        questions = [place for place, message in enumerate(kept) if message.role is Role.USER]
        if len(questions) < 2:
            break
        first = next((place for place, message in enumerate(kept) if message.role is not Role.SYSTEM), 0)
        end = next(place for place in questions if place > first)
        del kept[first:end], lengths[first:end]
    return tuple(kept)


class _Reader:
    """Neighbouring items of the assistant's are one message."""

    def __init__(self, *, tenant: str) -> None:
        self._tenant = tenant
        self._messages: list[ChatMessage] = []
        self._thoughts: list[str] = []
        self._content: list[str] = []
        self._calls: list[ToolCall] = []
        self._kinds: dict[str, Callable[[Stored, str], None]] = {
            "message": self._message,
            "reasoning": self._reasoning,
            "function_call": self._function_call,
            "function_call_output": self._output,
            "custom_tool_call": self._custom_call,
            "custom_tool_call_output": self._output,
            "mcp_call": self._hosted_call,
            "compaction": self._compaction,
        }

    def add(self, item: Stored, *, place: str) -> None:
        """What asks for approval, and gives it, is no business of the model's."""
        if (read := self._kinds.get(item["type"])) is not None:
            read(item, place)

    def done(self) -> tuple[ChatMessage, ...]:
        self._end_answer()
        return tuple(self._messages)

    def _message(self, item: Stored, place: str) -> None:
        message = items.struct_of(item, items.Message)
        text = items.text_of(message.content, place=place)
        if message.role != "assistant":
            role = Role.USER if message.role == "user" else Role.SYSTEM
            self._say(ChatMessage(role=role, content=text))
            return
        if self._calls:
            self._end_answer()
        self._content.append(text)

    def _reasoning(self, item: Stored, place: str) -> None:
        """By what of it came back: its text, our seal, or what was shown of it."""
        if self._content or self._calls:
            self._end_answer()
        reasoning = items.struct_of(item, items.Reasoning)
        sealed = reasoning.encrypted_content or ""
        parts = reasoning.content or reasoning.summary
        text = "\n".join(part.text for part in parts)
        self._thoughts.append(text or seal.opened(sealed, tenant=self._tenant, kind="reasoning") or "")

    def _function_call(self, item: Stored, place: str) -> None:
        call = items.struct_of(item, items.FunctionCall)
        name = tools.within(call.namespace or "", call.name)
        self._calls.append(ToolCall(id=call.call_id, name=name, arguments=call.arguments))

    def _custom_call(self, item: Stored, place: str) -> None:
        call = items.struct_of(item, items.CustomCall)
        name, arguments = tools.within(call.namespace or "", call.name), orjson.dumps({"input": call.input})
        self._calls.append(ToolCall(id=call.call_id, name=name, arguments=arguments.decode()))

    def _output(self, item: Stored, place: str) -> None:
        result = items.struct_of(item, items.CallOutput)
        text = items.text_of(result.output, place=place)
        self._say(ChatMessage(role=Role.TOOL, content=text, tool_call_id=result.call_id))

    def _hosted_call(self, item: Stored, place: str) -> None:
        call = items.struct_of(item, items.HostedCall)
        self._calls.append(ToolCall(id=call.id, name=call.name, arguments=call.arguments or "{}"))
        text = call.output if call.error is None else ERROR_MARK + _fault(call.error)
        self._say(ChatMessage(role=Role.TOOL, content=text or "", tool_call_id=call.id))

    def _compaction(self, item: Stored, place: str) -> None:
        compaction = items.struct_of(item, items.Compaction)
        text = seal.opened(compaction.encrypted_content, tenant=self._tenant, kind="compaction")
        if text is None:
            raise bad_request("This compaction was not made here: send the items themselves.", param=place)
        self._say(ChatMessage(role=Role.SYSTEM, content=SUMMARY_INTRODUCED + text))

    def _say(self, message: ChatMessage) -> None:
        self._end_answer()
        self._messages.append(message)

    def _end_answer(self) -> None:
        if self._content or self._calls:
            answer = ChatMessage(
                role=Role.ASSISTANT,
                content="\n".join(self._content),
                reasoning="\n".join(self._thoughts),
                tool_calls=tuple(self._calls),
            )
            self._messages.append(answer)
        self._thoughts, self._content, self._calls = [], [], []


def _fault(error: Any) -> str:
    return (
        str(error.get("content") or error.get("message") or error) if isinstance(error, dict) else str(error)
    )
