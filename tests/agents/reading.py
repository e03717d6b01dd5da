"""A model that works through a long book and answers from what its request really holds, nothing else."""

import json
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.tool import ToolContext, ToolResult, Traits
from inference.backends.base import RequestRejected
from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from tests.agents.test_context_view import assert_paired
from tests.agents.transcripts import quarters

PASSWORD = "swordfish-4711"
SECRET = f"The password is {PASSWORD}."
CHAPTER_OF_SECRET = 3
UNKNOWN = "I do not know the password."

_CHAPTER = re.compile(r"chapter\W{1,6}(\d+)")
_SECRET = re.compile(r"The password is (\S+?)[.\s]")

Habit = Literal["remembers", "copies", "forgets"]


class Book:
    """The tool: a chapter of many words, the secret in the third."""

    spec = ToolSpec(
        name="read",
        description="Read a chapter.",
        parameters={
            "type": "object",
            "properties": {"chapter": {"type": "integer"}},
            "required": ["chapter"],
        },
    )

    def __init__(self, num_words: int = 900) -> None:
        self.traits = Traits(max_result_chars=20 * num_words + 1_000)
        self._filler = "and so they went on " * (num_words // 5)

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        number = arguments["chapter"]
        secret = f"{SECRET} " if number == CHAPTER_OF_SECRET else ""
        return ToolResult(for_model=f"Chapter {number}. {self._filler}{secret}{self._filler}")


@dataclass
class Reader:
    """A `ChatBackend` that reads chapter after chapter, then answers.

    `remembers`: it keeps the secret by the tool `remember` once it has read it. `copies`: it thinks of the
    secret when it reads it, and carries what it still sees of it over into each handoff note. `forgets`:
    neither. With `can_sum_up` False requests for a
    handoff are refused.
    """

    num_chapters: int
    habit: Habit
    context_tokens: int
    can_sum_up: bool = True
    num_words_of_thought: int = 150
    requests: list[ChatRequest] = field(default_factory=list)
    num_handoffs: int = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self._check(request)
        text = "\n".join(f"{message.reasoning}\n{message.content}" for message in request.messages)
        text += "".join(call.arguments for message in request.messages for call in message.tool_calls)
        secret = _SECRET.search(text)
        if not request.tools:
            if not self.can_sum_up:
                raise RequestRejected("no handoff today")
            self.num_handoffs += 1
            known = secret[0] if secret and self.habit == "copies" else ""
            yield ContentDelta(f"I have read up to chapter {_last_chapter(text)}. {known} I read on.")
            yield self._finished(request, FinishReason.STOP)
            return
        self.requests.append(request)
        chapter = _last_chapter(text)
        if request.thinking.enabled:
            noticed = SECRET if self.habit == "copies" and SECRET in request.messages[-1].content else ""
            hm = "Hm. " * self.num_words_of_thought
            yield ReasoningDelta(f"I have read chapter {chapter}. {noticed} {hm}")
        if request.tool_choice == "none" or chapter >= self.num_chapters:
            yield ContentDelta(f"It is {secret[1]}." if secret else UNKNOWN)
            yield self._finished(request, FinishReason.STOP)
            return
        yield self._call(request, chapter)
        yield self._finished(request, FinishReason.TOOL_CALLS)

    async def is_ready(self) -> bool:
        return True

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _call(self, request: ChatRequest, chapter: int) -> ToolCallDelta:
        last = request.messages[-1]
        if self.habit == "remembers" and last.name == "read" and SECRET in last.content:
            arguments = {"fact": SECRET, "evidence": [last.tool_call_id]}
            return ToolCallDelta(index=0, id="x", name="remember", arguments=json.dumps(arguments))
        arguments = {"chapter": chapter + 1}
        return ToolCallDelta(index=0, id="x", name="read", arguments=json.dumps(arguments))

    def _check(self, request: ChatRequest) -> None:
        """Refuse what a provider would."""
        assert_paired(request.messages)
        assert _size(request) + (request.sampling.max_tokens or 0) <= self.context_tokens, "it does not fit"

    def _finished(self, request: ChatRequest, reason: FinishReason) -> Finished:
        usage = Usage(input_uncached_tokens=_size(request), output_tokens=self.num_words_of_thought + 20)
        return Finished(reason=reason, usage=usage)


def _size(request: ChatRequest) -> int:
    """What a provider would count, about."""
    num_tokens = sum(4 + quarters(message.reasoning + message.content) for message in request.messages)
    calls = (call for message in request.messages for call in message.tool_calls)
    return num_tokens + sum(quarters(call.id + call.name + call.arguments) for call in calls)


def _last_chapter(text: str) -> int:
    return max((int(number) for number in _CHAPTER.findall(text.casefold())), default=0)
