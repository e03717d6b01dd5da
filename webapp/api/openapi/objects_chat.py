"""What the endpoints of OpenAI's chat dialect, and Kimi's own, answer."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Moment = Annotated[int, Meta(ge=0, description="Seconds since 1970.")]
Tokens = Annotated[int, Meta(ge=0)]


class PromptTokensDetails(Struct):
    cached_tokens: Tokens


class CompletionTokensDetails(Struct):
    reasoning_tokens: Tokens


class ChatUsage(Struct):
    """Prompt tokens include the cached ones, completion tokens those of reasoning. `cached_tokens` is "
    "Kimi's spelling
    of what stands in `prompt_tokens_details`, too."""

    prompt_tokens: Tokens
    completion_tokens: Tokens
    total_tokens: Tokens
    cached_tokens: Tokens
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class FunctionCalled(Struct):
    name: str
    arguments: Annotated[str, Meta(description="JSON, as the model wrote it.")]


class ChatToolCall(Struct):
    id: str
    type: Literal["function"]
    function: FunctionCalled


class TopLogprob(Struct):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(Struct):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class Logprobs(Struct):
    content: list[TokenLogprob] | None
    refusal: None


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ChatAnswer(Struct):
    """`reasoning_content` is the thinking; send it back with the message while its tools are being called."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ChatToolCall] | UnsetType = UNSET


class ChatChoice(Struct):
    index: int
    message: ChatAnswer
    logprobs: Logprobs | None
    finish_reason: FinishReason


class ChatCompletion(Struct):
    id: str
    object: Literal["chat.completion"]
    created: Moment
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: ChatUsage


class FunctionPiece(Struct):
    arguments: str
    name: str | UnsetType = UNSET


class ToolCallPiece(Struct):
    """The id and the name come with the first piece of a call, the index with each."""

    index: int
    function: FunctionPiece
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class ChatDelta(Struct):
    """Reasoning comes whole before content."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallPiece] | UnsetType = UNSET


class ChunkChoice(Struct):
    """The last one of a stream has Kimi's `usage` within it."""

    index: int
    delta: ChatDelta
    logprobs: Logprobs | None
    finish_reason: FinishReason | Literal["error"] | None
    usage: ChatUsage | UnsetType = UNSET


class ChatCompletionChunk(Struct):
    """An event of a stream, whose end is `data: [DONE]`. With `stream_options.include_usage` the one "
    "before it has no
    choices, but the usage."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: Moment
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None | UnsetType = UNSET


class Model(Struct):
    id: str
    object: Literal["model"]
    created: Moment
    owned_by: str
    name: str
    context_length: Tokens
    max_output_tokens: Tokens
    supports_reasoning: bool
    supports_tools: bool
    supports_image_in: bool
    supports_video_in: bool


class ModelList(Struct):
    object: Literal["list"]
    data: list[Model]


class TotalTokens(Struct):
    total_tokens: Tokens
    estimated: bool | UnsetType = UNSET


class TokenEstimate(Struct):
    """Exact where the model runs here; else `estimated` stands beside the number."""

    data: TotalTokens


class BalanceData(Struct):
    available_balance: float
    voucher_balance: float
    cash_balance: float
    currency: str
    available_exact: Annotated[str, Meta(description="The exact amount, as a decimal.")]
    held_exact: Annotated[str, Meta(description="Held for what is under way.")]


class Balance(Struct):
    code: Literal[0]
    data: BalanceData
    scode: str
    status: bool


class ErrorBody(Struct):
    """`details` names the limit that refused, with its numbers and what to do: on 402 and 429."""

    message: str
    type: str
    param: str | None
    code: str | None
    details: dict[str, Any] | UnsetType = UNSET


class Error(Struct):
    """Every refusal of OpenAI's and our own endpoints."""

    error: ErrorBody
