"""The body of POST /v1/chat/completions: what may be asked for, and its translation into a ChatRequest.

Unknown fields are ignored, as clients send many; a field of the wrong type, or one that asks for what this
platform does not do, is refused by name.
"""

from typing import Annotated, Any, Literal, Never

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from inference.schema import ChatMessage, ChatRequest, JsonSchema, Role, Sampling, ToolCall, ToolSpec
from webapp.api import answer_form, json_body, json_schemas, lost_reasoning, thinking_switch
from webapp.api.chat_reply import Writer
from webapp.api.errors import bad_request
from webapp.catalog.models import ServedModel

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=1)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Name = Annotated[str, Meta(max_length=512)]
Label = Annotated[str, Meta(max_length=64)]
MAX_STOPS = 16
MAX_TOOLS = 128
MAX_BIASES = 1_024
MAX_CHOICES = 8
MAX_TOP_LOGPROBS = 20


class TextPart(Struct, tag_field="type", tag="text"):
    text: str


class CalledFunction(Struct):
    name: str
    arguments: str = "{}"


class WireToolCall(Struct):
    id: str
    function: CalledFunction


class WireMessage(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[WireToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    partial: bool | None = None


class WireFunction(Struct):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class WireTool(Struct):
    type: Literal["function"]
    function: WireFunction


class StreamOptions(Struct):
    """`include_obfuscation` may be sent: there is nothing to hide here behind padding."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Prediction(Struct):
    """A guess of the answer. The engine makes its own, so it changes nothing."""

    type: Literal["content"]
    content: str | list[TextPart]


class Body(Struct, kw_only=True):
    """The fields that are read."""

    model: str
    messages: Annotated[list[WireMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=1_000_000)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=2)] | None = None
    seed: Seed | None = None
    stop: str | Annotated[list[str], Meta(max_length=MAX_STOPS)] | None = None
    tools: Annotated[list[WireTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: answer_form.Mode | answer_form.FunctionChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: answer_form.Format | None = None
    thinking: thinking_switch.ThinkingField | None = None
    reasoning_effort: thinking_switch.Effort | None = None
    chat_template_kwargs: thinking_switch.TemplateKwargs | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    logit_bias: Annotated[dict[TokenId, Bias], Meta(max_length=MAX_BIASES)] | None = None

    user: Name | None = None
    safety_identifier: Name | None = None
    prompt_cache_key: Name | None = None
    metadata: Annotated[dict[Label, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    # Read for their type alone: the platform has one tier, keeps no answers, and caches by itself.
    prediction: Prediction | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    store: bool | None = None
    prompt_cache_retention: Literal["in-memory", "in_memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)

    @property
    def asker(self) -> str:
        return self.safety_identifier or self.user or ""

    @property
    def is_begun(self) -> bool:
        """Whether the last message is the beginning of the answer, to be gone on with."""
        return bool(self.messages[-1].partial)

    @property
    def includes_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def num_choices(self) -> int:
        return self.n or 1

    @property
    def is_one_call_at_most(self) -> bool:
        return self.parallel_tool_calls is False

    def to_chat_request(self, *, id: str, model: ServedModel, tenant: str) -> ChatRequest:
        return to_chat_request(self, id=id, model=model, tenant=tenant)

    def writer(self, request: ChatRequest, *, model: ServedModel) -> Writer:
        return Writer(
            id=request.id,
            model=model.name,
            includes_usage=self.includes_usage,
            shows_logprobs=request.sampling.logprobs is not None,
        )

    def output_limit(self, model: ServedModel) -> int:
        """Tokens of reasoning and content together: as asked for, at most the longest answer."""
        asked = self.max_completion_tokens or self.max_tokens or model.max_output_tokens
        return min(asked, model.max_output_tokens)


class Prompt(Body, kw_only=True):
    """What is counted: nothing is to be said."""

    def output_limit(self, model: ServedModel) -> int:
        return 0


_decoder = msgspec.json.Decoder(Body)
_prompt_decoder = msgspec.json.Decoder(Prompt)


def decode(content: bytes) -> Body:
    """The body, checked. Raises ApiError 400 that names the field."""
    body = json_body.read(content, _decoder)
    _check(body)
    return body


def decode_prompt(content: bytes) -> Prompt:
    """The body of a count. Raises ApiError 400 that names the field."""
    prompt = json_body.read(content, _prompt_decoder)
    _check(prompt)
    return prompt


def _check(body: Body) -> None:
    """What the fields' types do not say."""
    if body.top_logprobs is not None and not body.logprobs:
        _refuse("top_logprobs", "`top_logprobs` is taken with `logprobs: true` only.")
    if body.audio is not None or "audio" in (body.modalities or ()):
        _refuse("modalities", "Answers are text only: leave `audio` out of `modalities`.")
    if body.functions is not None or body.function_call is not None:
        _refuse("functions", "`functions` and `function_call` are no more: send `tools` and `tool_choice`.")
    if body.web_search_options is not None:
        _refuse("web_search_options", "Answers of this endpoint are made without searching: send a tool.")
    if body.is_begun and isinstance(body.response_format, answer_form.JsonObjectFormat):
        _refuse("response_format", "A `partial` answer cannot be bound to `json_object`: leave one out.")
    for index, message in enumerate(body.messages):
        _check_message(message, f"messages[{index}]", is_last=index == len(body.messages) - 1)


def _check_message(message: WireMessage, place: str, *, is_last: bool) -> None:
    if message.partial and not (is_last and message.role == "assistant" and not message.tool_calls):
        _refuse(f"{place}.partial", "`partial` is for the last message, the assistant's, without calls.")
    if message.role == "tool" and not message.tool_call_id:
        _refuse(f"{place}.tool_call_id", "A tool message names the call that it answers in `tool_call_id`.")
    if message.content is None and not (message.role == "assistant" and message.tool_calls):
        _refuse(f"{place}.content", f"The {message.role} message has no content.")


def _refuse(param: str, message: str) -> Never:
    raise bad_request(message, param=param)


def to_chat_request(body: Body, *, id: str, model: ServedModel, tenant: str) -> ChatRequest:
    """The call on the backend. Raises ApiError 400 for what this model cannot do."""
    if body.tools and not model.calls_tools:
        _refuse("tools", f"{model.label} cannot call tools: leave `tools` out, or choose another model.")
    tools = tuple(
        _tool(tool.function, f"tools[{index}].function") for index, tool in enumerate(body.tools or ())
    )
    response_format = answer_form.read_format(body.response_format)
    if isinstance(response_format, JsonSchema):
        json_schemas.check(response_format.schema, "response_format.json_schema.schema")
    return ChatRequest(
        id=id,
        model=model.upstream_name,
        messages=_messages(body.messages),
        tools=tools,
        tool_choice=answer_form.read_tool_choice(body.tool_choice, tools),
        response_format=response_format,
        sampling=_sampling(body, model),
        thinking=thinking_switch.read(
            body.thinking, body.reasoning_effort, body.chat_template_kwargs, model=model
        ),
        continues=body.is_begun,
        cache_key=body.prompt_cache_key or "",
        tenant=tenant,
    )


def of_choice(request: ChatRequest, index: int) -> ChatRequest:
    """The call that makes choice number `index`: the first is the request itself, the others have an id and
    the next seeds of their own.
    """
    if index == 0:
        return request
    sampling = request.sampling
    if sampling.seed is not None:
        # After the greatest seed comes the least, as in any 64 bits.
        sampling = replace(sampling, seed=(sampling.seed + index + 2**63) % 2**64 - 2**63)
    return replace(request, id=f"{request.id}-{index}", sampling=sampling)


def _sampling(body: Body, model: ServedModel) -> Sampling:
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        repetition_penalty=body.repetition_penalty,
        logit_bias=body.logit_bias or {},
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        seed=body.seed,
        stop=tuple(text for text in stop if text),
        max_tokens=body.output_limit(model),
    )


def _messages(messages: list[WireMessage]) -> tuple[ChatMessage, ...]:
    """Reasoning is kept for the running tool loop only: what comes before its question is done."""
    said = tuple(_message(message) for message in messages)
    loop_begins = lost_reasoning.loop_begins(said)
    done = (replace(message, reasoning="") for message in said[:loop_begins])
    return (*done, *said[loop_begins:])


def _message(message: WireMessage) -> ChatMessage:
    content = message.content or ""
    calls = message.tool_calls or ()
    return ChatMessage(
        role=Role.SYSTEM if message.role == "developer" else Role(message.role),
        content=content if isinstance(content, str) else "\n".join(part.text for part in content),
        reasoning=message.reasoning_content or "",
        tool_calls=tuple(
            ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments) for call in calls
        ),
        tool_call_id=message.tool_call_id,
        name=message.name,
    )


def _tool(function: WireFunction, place: str) -> ToolSpec:
    parameters = function.parameters or {"type": "object", "properties": {}}
    json_schemas.check(parameters, f"{place}.parameters", is_function=True)
    return ToolSpec(name=function.name, description=function.description or "", parameters=parameters)
