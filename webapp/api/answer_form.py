"""The form an answer is bound to, in OpenAI's shapes: `response_format` and `tool_choice`.

Whether a schema can be followed is the model's side to say; here only the shape is known.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Never

from msgspec import Meta, Struct

from inference.schema import JsonObject, JsonSchema, NamedTool, ResponseFormat, ToolSpec
from webapp.api.errors import bad_request

Mode = Literal["auto", "none", "required"]


class TextFormat(Struct, tag_field="type", tag="text"):
    pass


class JsonObjectFormat(Struct, tag_field="type", tag="json_object"):
    pass


class NamedSchema(Struct):
    """`strict` may be sent and changes nothing: a schema is always kept to."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any]
    strict: bool | None = None


class JsonSchemaFormat(Struct, tag_field="type", tag="json_schema"):
    json_schema: NamedSchema


Format = TextFormat | JsonObjectFormat | JsonSchemaFormat


class ChosenFunction(Struct):
    name: str


class FunctionChoice(Struct):
    type: Literal["function"]
    function: ChosenFunction


def read_format(asked: Format | None) -> ResponseFormat | None:
    """None where the content is free text."""
    if isinstance(asked, JsonObjectFormat):
        return JsonObject()
    if isinstance(asked, JsonSchemaFormat):
        return JsonSchema(schema=asked.json_schema.schema, name=asked.json_schema.name)
    return None


def read_tool_choice(asked: Mode | FunctionChoice | None, tools: Sequence[ToolSpec]) -> Mode | NamedTool:
    """Raises ApiError 400 for a call that is to be made of no tool that was sent."""
    if asked is None or asked == "auto" or asked == "none":
        return asked or "auto"
    if not tools:
        _refuse("`tool_choice` asks for a call: send the `tools` to choose from.")
    if not isinstance(asked, FunctionChoice):
        return asked
    name = asked.function.name
    if name not in {tool.name for tool in tools}:
        _refuse(f"`tool_choice` names {name[:80]!r}, which is not among the `tools`.")
    return NamedTool(name)


def _refuse(message: str) -> Never:
    raise bad_request(message, param="tool_choice")
