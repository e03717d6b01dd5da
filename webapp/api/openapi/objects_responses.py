"""What the endpoints of the Responses dialect answer."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from webapp.api.openapi.objects_chat import Moment, Tokens


class InputDetails(Struct):
    cached_tokens: Tokens
    cache_write_tokens: Tokens


class OutputDetails(Struct):
    reasoning_tokens: Tokens


class ResponseUsage(Struct):
    input_tokens: Tokens
    input_tokens_details: InputDetails
    output_tokens: Tokens
    output_tokens_details: OutputDetails
    total_tokens: Tokens


class ResponseError(Struct):
    code: str
    message: str


class IncompleteDetails(Struct):
    """`limit` names a limit of this platform that ended the answer."""

    reason: str
    limit: str | UnsetType = UNSET


class OutputItem(Struct):
    """A message, reasoning, a call of a function, a custom tool or a tool of the platform, each with the "
    "fields of
    OpenAI's item of that type."""

    id: str
    type: str


class ConversationName(Struct):
    id: str


class ReasoningTold(Struct):
    effort: str | None
    summary: str | None


Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class ResponseObject(Struct):
    """The fields from `background` on repeat the request."""

    id: str
    object: Literal["response"]
    created_at: Moment
    completed_at: Moment | None
    status: Status
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    output: list[OutputItem]
    usage: ResponseUsage | None
    model: str
    background: bool
    conversation: ConversationName | None
    include: list[str]
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: ReasoningTold
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    truncation: Literal["auto", "disabled"]
    user: str | None


class ResponseEvent(Struct):
    """Numbers strictly increase; the name of the event is its type. First `response.created`; last
    `response.completed`, `response.incomplete` or `response.failed`, which bring the whole object."""

    type: str
    sequence_number: int
    response: ResponseObject | UnsetType = UNSET
    item: OutputItem | UnsetType = UNSET
    output_index: int | UnsetType = UNSET
    delta: str | UnsetType = UNSET


class ResponseDeleted(Struct):
    id: str
    object: Literal["response.deleted"]
    deleted: bool


class ItemList(Struct):
    object: Literal["list"]
    data: list[OutputItem]
    first_id: str
    last_id: str
    has_more: bool


class ResponseInputTokens(Struct):
    object: Literal["response.input_tokens"]
    input_tokens: Tokens
    estimated: bool | UnsetType = UNSET


class CompactedItem(Struct):
    id: str
    type: Literal["compaction"]
    encrypted_content: str


class CompactedResponse(Struct):
    """Send the one item of `output` instead of the conversation."""

    id: str
    object: Literal["response.compaction"]
    created_at: Moment
    output: list[CompactedItem]
    usage: ResponseUsage


class ConversationObject(Struct):
    id: str
    object: Literal["conversation"]
    created_at: Moment
    metadata: dict[str, str]


class ConversationDeleted(Struct):
    id: str
    object: Literal["conversation.deleted"]
    deleted: bool
