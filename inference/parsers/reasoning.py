"""Reasoning marks, and how a model that does not think by itself is led to think: it is asked to in the
system prompt, and its answer is begun with an open mark.
"""

import json
import re
from collections.abc import Sequence

import msgspec

from inference.schema import ERROR_MARK, ChatMessage, Role, ToolSpec

OPEN = "<think>"
CLOSE = "</think>"
# What a led model's answer begins with, and what ends its reasoning when the budget is spent.
OPENING = f"{OPEN}\n"
CLOSING = f"\n{CLOSE}\n\n"
REQUEST = (
    "Before you answer, think step by step between <think> and </think>: work the problem out, check each"
    " step, and correct yourself where needed. After </think>, give the final answer, in agreement with your"
    " reasoning."
)


# With tools at hand a small model that is asked to reason makes up what it should look up.
REQUEST_WITH_TOOLS = (
    "Before you act, think in a few sentences between <think> and </think>: which facts and numbers does the"
    " question need, and which tool gives each? Do not guess a fact or a result: you do not know it until a"
    " tool has told you. After </think>, call the tool for the first thing that is missing. Only when nothing"
    " is missing, or no tool can help, give the final answer."
)

_LEAD_IN, _LEAD_IN_ZH = "\n\nAnswer:", "\n\n答案："


def lead_in(messages: Sequence[ChatMessage]) -> str:
    """What draws out an answer that the model would leave out, in the language of the question."""
    questions = [message.content for message in messages if message.is_question]
    is_chinese = any("\u4e00" <= character <= "\u9fff" for character in "".join(questions[-1:]))
    return _LEAD_IN_ZH if is_chinese else _LEAD_IN


_MAX_ASKED_CHARS = 200
UNUSED = "Not used yet: "
NEXT_REQUEST = (
    "Is a fact or a calculation that the question needs still missing? Then call the tool for it now: do not"
    " guess it or work it out yourself. Otherwise use the exact results so far to answer in one full"
    " sentence. The question was: "
)
ERROR_REQUEST = "The call failed. Correct it and call the tool again, or go on without it. The question was: "
RESULT_REQUEST = "Use this exact result to answer in one full sentence. The question was: "


def is_open(prompt: str) -> bool:
    """True when the prompt ends inside a reasoning block, so that the model's first token is reasoning."""
    return prompt.rstrip().endswith(OPEN)


def is_closed(prompt: str) -> bool:
    """True when the prompt ends behind a reasoning block: the model is not to reason."""
    return prompt.rstrip().endswith(CLOSE)


def ask_for(messages: Sequence[ChatMessage], *, has_tools: bool = False) -> tuple[ChatMessage, ...]:
    """The messages with a request to think in the system prompt, and past reasoning shown the same way."""
    request = REQUEST_WITH_TOOLS if has_tools else REQUEST
    shown = [_with_marks(message) for message in messages]
    if shown and shown[0].role is Role.SYSTEM:
        system = msgspec.structs.replace(shown[0], content=f"{shown[0].content}\n\n{request}")
        return (system, *shown[1:])
    return (ChatMessage(role=Role.SYSTEM, content=request), *shown)


def lead_from_result(
    messages: Sequence[ChatMessage], *, tools: Sequence[ToolSpec] = ()
) -> tuple[ChatMessage, ...]:
    """The messages as a led model gets them after a tool's result: it is pointed back to the question.

    Shown its own reasoning and asked to think again, a small model repeats both, and then the call. While a
    tool that its reasoning spoke of has not been used, it is only told so: pointed to the question it
    answers, and makes up what that tool would tell.
    """
    asked_at = max((at for at, message in enumerate(messages) if message.is_question), default=-1)
    question = messages[asked_at].content if asked_at >= 0 else ""
    result = messages[-1].content
    if tools and result.startswith(ERROR_MARK):
        pointed = f"{_asked(messages)}{result}\n\n{ERROR_REQUEST}{question}"
    elif planned := _planned(messages[asked_at + 1 :], tools):
        pointed = f"{result}\n\n({UNUSED}{', '.join(planned)}.)"
    else:
        request = NEXT_REQUEST if len(tools) > 1 else RESULT_REQUEST
        pointed = f"{_asked(messages)}{result}\n\n{request}{question}"
    shown = [msgspec.structs.replace(message, reasoning="") for message in messages[:-1]]
    return (*shown, msgspec.structs.replace(messages[-1], content=pointed))


def _planned(turn: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> list[str]:
    """The tools that the turn's reasoning names and that it has not called."""
    thought = " ".join(message.reasoning for message in turn)
    used = {call.name for message in turn for call in message.tool_calls}
    return [
        tool.name
        for tool in tools
        if tool.name not in used and re.search(rf"\b{re.escape(tool.name)}\b", thought)
    ]


def _asked(messages: Sequence[ChatMessage]) -> str:
    """What the last result is the result of, where that is short: "false" alone says little."""
    calls = {call.id: call for message in messages for call in message.tool_calls}
    call = calls.get(messages[-1].tool_call_id or "")
    if call is None or len(call.arguments) > _MAX_ASKED_CHARS:
        return ""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return ""
    values = [str(value) for value in arguments.values()] if isinstance(arguments, dict) else []
    return f"{', '.join(values)} → " if values else ""


def _with_marks(message: ChatMessage) -> ChatMessage:
    if not message.reasoning:
        return message
    content = f"{OPENING}{message.reasoning}{CLOSING}{message.content}"
    return msgspec.structs.replace(message, content=content, reasoning="")
