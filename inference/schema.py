"""The words spoken between the platform and a model: requests, deltas, usage. Plain data, no behaviour.

Everything here is a frozen msgspec struct, so that the same type is checked on the wire and in the code.
"""

from enum import StrEnum
from typing import Any, Literal

import msgspec


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CANCELLED = "cancelled"
    ERROR = "error"


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call as the model wrote it: `arguments` is its JSON text, not yet checked against a schema."""

    id: str
    name: str
    arguments: str


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the history. `reasoning` belongs to assistant messages of the running tool loop only."""

    role: Role
    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the model is told of a tool; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """None means the model's own default. `max_tokens` counts reasoning and content together."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to think before answering, and for at most how many tokens (None: until the model stops)."""

    enabled: bool = False
    budget_tokens: int | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call on a backend. `id` is unique per call: it names the request in queue, logs and abort."""

    id: str
    model: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    sampling: Sampling = Sampling()
    thinking: Thinking = Thinking()
    tenant: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """The canonical count. Cached input is no part of uncached input; reasoning is part of output."""

    input_uncached_tokens: int = 0
    input_cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def input_tokens(self) -> int:
        return self.input_uncached_tokens + self.input_cached_tokens

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_uncached_tokens=self.input_uncached_tokens + other.input_uncached_tokens,
            input_cached_tokens=self.input_cached_tokens + other.input_cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning"):
    text: str


class ContentDelta(msgspec.Struct, frozen=True, tag="content"):
    text: str


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_call", kw_only=True):
    """A piece of call number `index` of this reply; `id` and `name` come whole, with its first piece."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Finished(msgspec.Struct, frozen=True, tag="finished", kw_only=True):
    """Sent exactly once, last. `detail` says what went wrong when the reason is `error`."""

    reason: FinishReason
    usage: Usage = Usage()
    detail: str = ""


ChatDelta = ReasoningDelta | ContentDelta | ToolCallDelta | Finished
