"""The words spoken between the platform and a model: requests, deltas, usage. Plain data, no behaviour.

Everything here is a frozen msgspec struct, so that the same type is checked on the wire and in the code.
"""

from enum import StrEnum
from typing import Any, Literal

import msgspec

# How a user message begins that the platform wrote, not a person: many chat templates refuse a system message
# in the midst of a conversation.
PLATFORM_MARK = "[Platform] "
# How a tool's result begins that is an error, so that no model takes its text for what it wanted to know.
ERROR_MARK = "Error: "


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

    @property
    def is_question(self) -> bool:
        """Whether a person wrote it."""
        return self.role is Role.USER and not self.content.startswith(PLATFORM_MARK)


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the model is told of a tool; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """None means the model's own default. `max_tokens` counts reasoning and content together; with 0 nothing
    is said, and the prompt is only counted (by our own workers and the scripted model: providers refuse it).

    `logit_bias` is added to the logits of token ids. `logprobs` asks for the log probability of every token
    of the answer and of this many of the likeliest in its place; None asks for none.
    `repetition_penalty` divides the logits of tokens that were seen (1: off).
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[int, float] = {}
    logprobs: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to think before answering, and for at most how many tokens (None: until the model stops)."""

    enabled: bool = False
    budget_tokens: int | None = None


class NamedTool(msgspec.Struct, frozen=True):
    """A tool choice: the answer is a call of this tool."""

    name: str


class JsonObject(msgspec.Struct, frozen=True, tag="json_object"):
    """The content is one JSON object."""


class JsonSchema(msgspec.Struct, frozen=True, tag="json_schema", kw_only=True):
    """The content is JSON that this schema accepts. `name` is the caller's own name for it."""

    schema: dict[str, Any]
    name: str = ""


class Regex(msgspec.Struct, frozen=True, tag="regex"):
    """The whole content matches this pattern."""

    pattern: str


class Grammar(msgspec.Struct, frozen=True, tag="grammar", kw_only=True):
    """The whole content is of this grammar: Lark's syntax, or llama.cpp's GBNF."""

    source: str
    syntax: Literal["lark", "gbnf"] = "lark"


ResponseFormat = JsonObject | JsonSchema | Regex | Grammar


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call on a backend. `id` is unique per call: it names the request in queue, logs and abort.

    `continues`: the last message is the beginning of the answer, which goes on from there. `cache_key` is the
    caller's name for what shares a prefix, for providers that ask for one.
    `response_format` binds the content, not the reasoning before it. A higher `priority` is served first;
    an answer that is not done `timeout_s` after it was asked for is ended.
    """

    id: str
    model: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none", "required"] | NamedTool = "auto"
    response_format: ResponseFormat | None = None
    sampling: Sampling = Sampling()
    thinking: Thinking = Thinking()
    continues: bool = False
    cache_key: str = ""
    tenant: str = ""
    priority: int = 0
    timeout_s: float | None = None


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


class LikelyToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token and the natural logarithm of its probability; its text shows U+FFFD for half a character."""

    token: str
    logprob: float
    token_bytes: bytes = b""


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """The token that was drawn, and the likeliest ones in its place, the first first."""

    drawn: LikelyToken
    top: tuple[LikelyToken, ...] = ()


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning"):
    """`logprobs`, when asked for, are those of the tokens drawn since the last delta that carried any."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class ContentDelta(msgspec.Struct, frozen=True, tag="content"):
    """`logprobs` as in ReasoningDelta."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_call", kw_only=True):
    """A piece of call number `index` of this reply; `id` and `name` come whole, with its first piece."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Finished(msgspec.Struct, frozen=True, tag="finished", kw_only=True):
    """Sent exactly once, last. `detail` says what went wrong when the reason is `error`; `stop_sequence` is
    the stop string that ended the answer, where the backend tells.
    """

    reason: FinishReason
    usage: Usage = Usage()
    detail: str = ""
    stop_sequence: str = ""


ChatDelta = ReasoningDelta | ContentDelta | ToolCallDelta | Finished
