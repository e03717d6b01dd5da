"""What the endpoints of Anthropic's dialect answer."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from webapp.api.openapi.objects_chat import Tokens


class ThinkingTokens(Struct):
    thinking_tokens: Tokens


class MessageUsage(Struct):
    """Input tokens do not include the cached ones."""

    input_tokens: Tokens
    cache_creation_input_tokens: Tokens
    cache_read_input_tokens: Tokens
    output_tokens: Tokens
    output_tokens_details: ThinkingTokens


class TextBlock(Struct, tag_field="type", tag="text"):
    text: str


class ThinkingBlock(Struct, tag_field="type", tag="thinking"):
    """The signature proves that the thinking is the model's own: send both back as they are."""

    thinking: str
    signature: str


class ToolUseBlock(Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]


ContentBlock = TextBlock | ThinkingBlock | ToolUseBlock
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class MessageAnswer(Struct):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[ContentBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage


class MessageStart(Struct, tag_field="type", tag="message_start"):
    message: MessageAnswer


class BlockStart(Struct, tag_field="type", tag="content_block_start"):
    index: int
    content_block: ContentBlock


class TextDelta(Struct, tag_field="type", tag="text_delta"):
    text: str


class ThinkingDelta(Struct, tag_field="type", tag="thinking_delta"):
    thinking: str


class SignatureDelta(Struct, tag_field="type", tag="signature_delta"):
    signature: str


class InputDelta(Struct, tag_field="type", tag="input_json_delta"):
    partial_json: str


class BlockDelta(Struct, tag_field="type", tag="content_block_delta"):
    index: int
    delta: TextDelta | ThinkingDelta | SignatureDelta | InputDelta


class BlockStop(Struct, tag_field="type", tag="content_block_stop"):
    index: int


class Stop(Struct):
    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(Struct, tag_field="type", tag="message_delta"):
    """Its usage is that of the whole message."""

    delta: Stop
    usage: MessageUsage


class MessageStop(Struct, tag_field="type", tag="message_stop"):
    """The last event."""


class Ping(Struct, tag_field="type", tag="ping"):
    """Keeps a silent stream open."""


class FaultBody(Struct):
    type: str
    message: str


class MessageError(Struct, tag_field="type", tag="error"):
    """Every refusal of Anthropic's endpoints, and the last event of a stream that broke."""

    error: FaultBody
    request_id: str


MessageEvent = (
    MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop | Ping | MessageError
)


class MessageModel(Struct):
    type: Literal["model"]
    id: str
    display_name: str
    created_at: Annotated[str, Meta(description="RFC 3339.")]
    lifecycle: str
    max_input_tokens: Tokens
    max_tokens: Tokens


class MessageModelList(Struct):
    data: list[MessageModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


class InputTokens(Struct):
    """`estimated` where no tokenizer of ours counted."""

    input_tokens: Tokens
    estimated: bool | UnsetType = UNSET
