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


@dataclass(frozen=True)
class Seen:
    """What a request holds: all its text, and the last message if it is a result of `read`."""

    text: str
    last_result: str
    last_call_id: str
    may_call: bool


@dataclass(frozen=True)
class Said:
    reasoning: str
    content: str = ""
    tool: str = ""
    arguments: str = ""


@dataclass(frozen=True)
class Mind:
    """Reads chapter after chapter, then answers.

    `remembers`: it keeps the secret by the tool `remember` once it has read it. `copies`: it thinks of the
    secret when it reads it, and carries what it still sees of it over into each handoff note. `forgets`:
    neither.
    """

    num_chapters: int
    habit: Habit
    num_words: int = 150  # of thought, in each step

    def says(self, seen: Seen) -> Said:
        chapter = last_chapter(seen.text)
        secret = _SECRET.search(seen.text)
        has_just_read_it = SECRET in seen.last_result
        noticed = SECRET if self.habit == "copies" and has_just_read_it else ""
        reasoning = f"I have read chapter {chapter}. {noticed} " + "Hm. " * self.num_words
        if not seen.may_call or chapter >= self.num_chapters:
            return Said(reasoning, content=f"It is {secret[1]}." if secret else UNKNOWN)
        if self.habit == "remembers" and has_just_read_it:
            arguments = json.dumps({"fact": SECRET, "evidence": [seen.last_call_id]})
            return Said(reasoning, tool="remember", arguments=arguments)
        return Said(reasoning, tool="read", arguments=json.dumps({"chapter": chapter + 1}))

    def hands_off(self, text: str) -> str:
        secret = _SECRET.search(text)
        known = secret[0] if secret and self.habit == "copies" else ""
        return f"I have read up to chapter {last_chapter(text)}. {known} I read on."


@dataclass
class Reader:
    """A `ChatBackend` with a mind. With `can_sum_up` False requests for a handoff are refused."""

    mind: Mind
    context_tokens: int
    can_sum_up: bool = True
    requests: list[ChatRequest] = field(default_factory=list)
    num_handoffs: int = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self._check(request)
        if not request.tools:
            if not self.can_sum_up:
                raise RequestRejected("no handoff today")
            self.num_handoffs += 1
            yield ContentDelta(self.mind.hands_off(_seen(request).text))
            yield self._finished(request, FinishReason.STOP)
            return
        self.requests.append(request)
        said = self.mind.says(_seen(request))
        if request.thinking.enabled:
            yield ReasoningDelta(said.reasoning)
        if said.tool:
            yield ToolCallDelta(index=0, id="x", name=said.tool, arguments=said.arguments)
        else:
            yield ContentDelta(said.content)
        yield self._finished(request, FinishReason.TOOL_CALLS if said.tool else FinishReason.STOP)

    async def is_ready(self) -> bool:
        return True

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _check(self, request: ChatRequest) -> None:
        """Refuse what a provider would."""
        assert_paired(request.messages)
        assert _size(request) + (request.sampling.max_tokens or 0) <= self.context_tokens, "it does not fit"

    def _finished(self, request: ChatRequest, reason: FinishReason) -> Finished:
        usage = Usage(input_uncached_tokens=_size(request), output_tokens=self.mind.num_words + 20)
        return Finished(reason=reason, usage=usage)


def _seen(request: ChatRequest) -> Seen:
    messages, last = request.messages, request.messages[-1]
    parts = [f"{message.reasoning}\n{message.content}" for message in messages]
    parts += [call.arguments for message in messages for call in message.tool_calls]
    return Seen(
        text="\n".join(parts),
        last_result=last.content if last.name == "read" else "",
        last_call_id=last.tool_call_id or "",
        may_call=request.tool_choice != "none",
    )


def _size(request: ChatRequest) -> int:
    """What a provider would count, about."""
    num_tokens = sum(4 + quarters(message.reasoning + message.content) for message in request.messages)
    calls = (call for message in request.messages for call in message.tool_calls)
    return num_tokens + sum(quarters(call.id + call.name + call.arguments) for call in calls)


def last_chapter(text: str) -> int:
    return max((int(number) for number in _CHAPTER.findall(text.casefold())), default=0)
