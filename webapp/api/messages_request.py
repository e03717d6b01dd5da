"""The body of POST /v1/messages and of its count_tokens: Anthropic's dialect read as a ChatRequest.

Unknown fields are ignored, as clients send many; one that asks for what is not done here is refused by name.
"""

from typing import Annotated, Any, Literal, Never

import msgspec
from msgspec import Meta, Struct

from inference import schema
from inference.schema import ChatRequest, JsonSchema, NamedTool, Sampling, ToolSpec
from webapp.api import json_body, json_schemas, messages_history, thinking_seal, thinking_switch
from webapp.api.chat_request import MAX_STOPS
from webapp.api.errors import bad_request
from webapp.api.messages_blocks import Text, WireMessage
from webapp.api.messages_reply import Writer
from webapp.api.thinking_switch import ThinkingField
from webapp.billing import estimates
from webapp.catalog.models import ServedModel

MAX_TOOLS = 512  # agents that bring tool servers of their own send hundreds
LEAST_BUDGET_TOKENS = 1_024


class Enabled(Struct, tag_field="type", tag="enabled"):
    budget_tokens: Annotated[int, Meta(ge=LEAST_BUDGET_TOKENS)]


class Disabled(Struct, tag_field="type", tag="disabled"):
    pass


class Adaptive(Struct, tag_field="type", tag="adaptive"):
    pass


class BetweenTools(Struct, tag_field="type", tag="between_tools"):
    pass


class AnyWay(Struct, tag_field="type", tag="auto"):
    disable_parallel_tool_use: bool | None = None


class AnyTool(Struct, tag_field="type", tag="any"):
    disable_parallel_tool_use: bool | None = None


class OneTool(Struct, tag_field="type", tag="tool"):
    name: str
    disable_parallel_tool_use: bool | None = None


class NoTool(Struct, tag_field="type", tag="none"):
    disable_parallel_tool_use: bool | None = None


class Tool(Struct):
    """A tool of the client's. One of another type is of the provider's own, and has no schema."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,128}$")]
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class Metadata(Struct):
    user_id: Annotated[str, Meta(max_length=512)] | None = None


class SchemaFormat(Struct, tag_field="type", tag="json_schema"):
    schema: dict[str, Any]


class OutputConfig(Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: SchemaFormat | None = None


class Prompt(Struct, kw_only=True):
    """What is counted: the fields that make the prompt."""

    model: str
    messages: Annotated[list[WireMessage], Meta(min_length=1)]
    system: str | list[Text] | None = None
    tools: Annotated[list[Tool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: AnyWay | AnyTool | OneTool | NoTool | None = None
    thinking: Enabled | Disabled | Adaptive | BetweenTools | None = None
    output_config: OutputConfig | None = None
    mcp_servers: list[Any] | None = None
    metadata: Metadata | None = None

    @property
    def is_stream(self) -> bool:
        return False

    @property
    def num_choices(self) -> int:
        return 1

    @property
    def asker(self) -> str:
        return (self.metadata and self.metadata.user_id) or ""

    @property
    def is_one_call_at_most(self) -> bool:
        return bool(self.tool_choice and self.tool_choice.disable_parallel_tool_use)

    def sampling(self, model: ServedModel) -> Sampling:
        """Nothing is to be said: the prompt is only counted."""
        return Sampling(max_tokens=0)

    def to_chat_request(self, *, id: str, model: ServedModel, tenant: str) -> ChatRequest:
        tools = self._tools(model)
        return ChatRequest(
            id=id,
            model=model.upstream_name,
            messages=messages_history.read(self.messages, system=self.system, model=model, tenant=tenant),
            tools=tools,
            tool_choice=self._tool_choice(tools),
            response_format=self._format(),
            sampling=self.sampling(model),
            thinking=self._thinking(model),
            continues=self.messages[-1].role == "assistant",
            tenant=tenant,
        )

    def writer(self, request: ChatRequest, *, model: ServedModel) -> Writer:
        asked = "".join(message.content for message in request.messages)
        return Writer(
            id=request.id,
            model=model.name,
            estimated_input_tokens=estimates.estimated_tokens(asked),
            sign=lambda text: thinking_seal.sign(text, tenant=request.tenant, model=model.name),
        )

    def check(self) -> None:
        """What the fields' types do not say. Raises ApiError 400."""
        if self.mcp_servers:
            _refuse("mcp_servers", "Tool servers are not asked from here: leave `mcp_servers` out.")
        for index, tool in enumerate(self.tools or ()):
            if tool.type not in (None, "custom"):
                _refuse(f"tools[{index}].type", f"Tools of the type {tool.type[:80]!r} are not offered here.")
            if tool.input_schema is None:
                _refuse(f"tools[{index}].input_schema", f"The tool {tool.name} has no `input_schema`.")
        messages_history.check(self.messages)

    def _tools(self, model: ServedModel) -> tuple[ToolSpec, ...]:
        if self.tools and not model.calls_tools:
            _refuse("tools", f"{model.label} cannot call tools: leave `tools` out, or choose another model.")
        tools = tuple(
            ToolSpec(name=tool.name, description=tool.description or "", parameters=tool.input_schema or {})
            for tool in self.tools or ()
        )
        for index, tool in enumerate(tools):
            json_schemas.check(tool.parameters, f"tools[{index}].input_schema", is_function=True)
        return tools

    def _tool_choice(self, tools: tuple[ToolSpec, ...]) -> Literal["auto", "none", "required"] | NamedTool:
        choice = self.tool_choice
        if choice is None or isinstance(choice, AnyWay):
            return "auto"
        if isinstance(choice, NoTool):
            return "none"
        if not tools:
            _refuse("tool_choice", "`tool_choice` asks for a call: send the `tools` to choose from.")
        if isinstance(choice, AnyTool):
            return "required"
        if choice.name not in {tool.name for tool in tools}:
            _refuse("tool_choice", f"`tool_choice` names {choice.name[:80]!r}, which is none of the `tools`.")
        return NamedTool(choice.name)

    def _format(self) -> JsonSchema | None:
        if self.output_config is None or self.output_config.format is None:
            return None
        asked = self.output_config.format.schema
        json_schemas.check(asked, "output_config.format.schema")
        return JsonSchema(schema=asked)

    def _thinking(self, model: ServedModel) -> schema.Thinking:
        """`adaptive` leaves it to the model how long; an effort says how long at most."""
        effort = self.output_config.effort if self.output_config else None
        asked = self.thinking
        if asked is None or isinstance(asked, Disabled):
            field = None if asked is None else ThinkingField(type="disabled")
            return thinking_switch.read(field, None, None, model=model)
        budget = asked.budget_tokens if isinstance(asked, Enabled) else None
        if budget is None and effort:
            budget = thinking_switch.BUDGETS[effort]
        field = ThinkingField(type="enabled", budget_tokens=budget)
        return thinking_switch.read(field, None, None, model=model)


class Body(Prompt, kw_only=True):
    """What is answered."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=MAX_STOPS)] | None = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)

    def sampling(self, model: ServedModel) -> Sampling:
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            stop=tuple(self.stop_sequences or ()),
            max_tokens=min(self.max_tokens, model.max_output_tokens),
        )

    def check(self) -> None:
        super().check()
        if isinstance(self.thinking, Enabled) and self.thinking.budget_tokens >= self.max_tokens:
            _refuse(
                "thinking.budget_tokens",
                "`max_tokens` counts thinking and answer together: it is to be more than "
                "`thinking.budget_tokens`.",
            )
        if not all(text.strip() for text in self.stop_sequences or ()):
            _refuse("stop_sequences", "A stop sequence is more than space.")


_body = msgspec.json.Decoder(Body)
_prompt = msgspec.json.Decoder(Prompt)


def decode(content: bytes) -> Body:
    """Raises ApiError 400 that names the field."""
    body = json_body.read(content, _body)
    body.check()
    return body


def decode_prompt(content: bytes) -> Prompt:
    """The body of a count. Raises ApiError 400 that names the field."""
    prompt = json_body.read(content, _prompt)
    prompt.check()
    return prompt


def _refuse(param: str, message: str) -> Never:
    raise bad_request(message, param=param)
