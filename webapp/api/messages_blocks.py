"""The blocks that messages are made of in Anthropic's dialect, as they come in.

Fields that are not read, like `cache_control`, are ignored: the prefix cache needs no marks.
"""

from typing import Any, Literal

from msgspec import Struct


class Text(Struct, tag_field="type", tag="text"):
    text: str


class Thinking(Struct, tag_field="type", tag="thinking"):
    thinking: str = ""
    signature: str = ""


class RedactedThinking(Struct, tag_field="type", tag="redacted_thinking"):
    """Another provider's: there is nothing in it to read."""


class Image(Struct, tag_field="type", tag="image"):
    """Known in order to be refused by name."""


class PlainText(Struct, tag_field="type", tag="text"):
    data: str


class Contents(Struct, tag_field="type", tag="content"):
    content: str | list[Text | Image]


class Base64(Struct, tag_field="type", tag="base64"):
    media_type: str = "a file"


class Url(Struct, tag_field="type", tag="url"):
    pass


class File(Struct, tag_field="type", tag="file"):
    pass


class Document(Struct, tag_field="type", tag="document"):
    source: PlainText | Contents | Base64 | Url | File
    title: str | None = None
    context: str | None = None


class SearchResult(Struct, tag_field="type", tag="search_result"):
    source: str
    title: str
    content: list[Text]


class ToolUse(Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]


class ToolResult(Struct, tag_field="type", tag="tool_result"):
    tool_use_id: str
    content: str | list[Text | Image | Document | SearchResult] | None = None
    is_error: bool | None = None


Block = Text | Thinking | RedactedThinking | Image | Document | SearchResult | ToolUse | ToolResult


class WireMessage(Struct):
    """`system` in the midst of a conversation is newer than the field of that name."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        return [Text(self.content)] if isinstance(self.content, str) else self.content
