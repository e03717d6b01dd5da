"""A model's reply while it streams in: gathers the deltas and emits them in order."""

import time
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from typing import Protocol

from agents import plain_text
from agents.happenings import Happening
from agents.tool import ToolResult
from inference.schema import (
    ChatDelta,
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

MAX_NAME_CHARS = 64


class Listener(Protocol):
    """Where the events of a turn go, in the order they happen.

    `step_started` voids what was emitted of that step before: its model call is made again.
    """

    async def step_started(self, step: int) -> None: ...

    async def reasoning(self, step: int, text: str) -> None: ...

    async def reasoning_finished(self, step: int, *, duration_ms: int, num_tokens: int) -> None: ...

    async def content(self, step: int, text: str) -> None: ...

    async def tool_call_started(self, step: int, call: ToolCall) -> None: ...

    async def tool_call_finished(
        self, step: int, call: ToolCall, result: ToolResult, *, duration_ms: int
    ) -> None: ...

    async def happened(self, event: Happening) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What one model call brought. `is_estimated`: the backend did not count its tokens."""

    step: int
    reasoning: str
    content: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    detail: str
    usage: Usage
    is_estimated: bool
    reasoning_tokens: int
    reasoning_ms: int
    duration_ms: int

    @property
    def is_empty(self) -> bool:
        return not (self.reasoning or self.content or self.tool_calls)


@dataclass
class _Call:
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Draft:
    """One attempt at a reply. What it emitted is what `cut` and `whole` return, to the letter."""

    def __init__(self, *, step: int, emit: Listener, count_tokens: Callable[[str], int]) -> None:
        self.finished: Finished | None = None
        self._step = step
        self._emit = emit
        self._count_tokens = count_tokens
        self._began = time.monotonic()
        self._reasoning: list[str] = []
        self._content: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._reasoning_began: float | None = None
        self._reasoning_ms: int | None = None
        self._is_open = False

    async def open(self) -> None:
        """Announce the step; done by the first delta where it was not done before."""
        if not self._is_open:
            self._is_open = True
            await self._emit.step_started(self._step)

    @property
    def is_open(self) -> bool:
        return self._is_open

    async def take(self, delta: ChatDelta) -> None:
        await self.open()
        if isinstance(delta, ReasoningDelta):
            await self._take_reasoning(plain_text.clean(delta.text))
            return
        await self._close_reasoning()
        if isinstance(delta, ContentDelta):
            text = plain_text.clean(delta.text)
            self._content.append(text)
            await self._emit.content(self._step, text)
        elif isinstance(delta, ToolCallDelta):
            call = self._calls.setdefault(delta.index, _Call())
            call.name = call.name or plain_text.clean(delta.name)[:MAX_NAME_CHARS]
            call.arguments.append(plain_text.clean(delta.arguments))
        else:
            self.finished = delta

    def whole(self, *, prompt: Callable[[], str], ids_taken: Set[str], num_calls_before: int) -> Reply:
        """The reply of a stream that finished. Its calls are numbered on from those before them in the
        conversation, whatever ids they came with: shown others, the model imitates them. Tokens that the
        backend did not count are estimated."""
        if self.finished is None:
            raise ValueError("the stream has not finished")
        calls: list[ToolCall] = []
        index = num_calls_before
        for _, call in sorted(self._calls.items()):
            while (call_id := f"functions.{call.name}:{index}") in ids_taken:
                index += 1
            calls.append(ToolCall(id=call_id, name=call.name, arguments="".join(call.arguments) or "{}"))
            index += 1
        so_far = self._so_far(finish_reason=self.finished.reason)
        reply = replace(so_far, tool_calls=tuple(calls), detail=self.finished.detail)
        usage = self.finished.usage
        if not usage.total_tokens and not reply.is_empty:
            return self._estimated(reply, prompt())
        return replace(reply, usage=usage, reasoning_tokens=usage.reasoning_tokens or reply.reasoning_tokens)

    async def cut(self, *, finish_reason: FinishReason, prompt: Callable[[], str] | None = None) -> Reply:
        """The reply as far as it came, without its unfinished calls. Its tokens are those that the backend
        counted; else, with `prompt`, they are estimated, or else none count."""
        await self._close_reasoning()
        reply = self._so_far(finish_reason=finish_reason)
        if self.finished is not None and self.finished.usage.total_tokens:
            return replace(reply, usage=self.finished.usage)
        return self._estimated(reply, prompt()) if prompt else reply

    def _estimated(self, reply: Reply, prompt: str) -> Reply:
        said = reply.content + "".join(call.arguments for call in reply.tool_calls)
        usage = Usage(
            input_uncached_tokens=self._count_tokens(prompt),
            output_tokens=reply.reasoning_tokens + self._count_tokens(said),
            reasoning_tokens=reply.reasoning_tokens,
        )
        return replace(reply, usage=usage, is_estimated=True)

    def _so_far(self, *, finish_reason: FinishReason) -> Reply:
        reasoning = "".join(self._reasoning)
        return Reply(
            step=self._step,
            reasoning=reasoning,
            content="".join(self._content),
            tool_calls=(),
            finish_reason=finish_reason,
            detail="",
            usage=Usage(),
            is_estimated=False,
            reasoning_tokens=self._count_tokens(reasoning),
            reasoning_ms=self._reasoning_ms or 0,
            duration_ms=_ms_since(self._began),
        )

    async def _take_reasoning(self, text: str) -> None:
        if self._reasoning_began is None:
            self._reasoning_began = time.monotonic()
        self._reasoning.append(text)
        await self._emit.reasoning(self._step, text)

    async def _close_reasoning(self) -> None:
        if self._reasoning_began is None or self._reasoning_ms is not None:
            return
        self._reasoning_ms = _ms_since(self._reasoning_began)
        num_tokens = self._count_tokens("".join(self._reasoning))
        await self._emit.reasoning_finished(self._step, duration_ms=self._reasoning_ms, num_tokens=num_tokens)


def _ms_since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
