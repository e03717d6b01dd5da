"""The body of POST /v1/responses: what may be asked for, and its translation into a ChatRequest.

Unknown fields are ignored, as clients send many; a field of the wrong type, or one that asks for what this
platform does not do, is refused by name.
"""

from functools import cached_property, partial
from typing import Annotated, Any, Literal, Never

import msgspec
from msgspec import Meta, Struct

from inference.schema import ChatRequest, Sampling
from webapp.accounts.models import ApiKey
from webapp.api import json_body, thinking_switch
from webapp.api.chat_request import MAX_TOP_LOGPROBS, Count
from webapp.api.errors import bad_request
from webapp.api.responses import history, items, store, tools
from webapp.api.responses.items import Stored
from webapp.api.responses.reply import LOGPROBS, Dialect, Writer, telling_for
from webapp.api.responses.store import Asked, Context
from webapp.api.responses.tools import MAX_TOOLS, Choice, Mode, TextSettings
from webapp.api.thinking_switch import Effort
from webapp.catalog.models import ServedModel

Key = Annotated[str, Meta(max_length=64)]
Value = Annotated[str, Meta(max_length=512)]
Metadata = Annotated[dict[Key, Value], Meta(max_length=16)]


class ReasoningSettings(Struct, kw_only=True):
    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed", "none"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ConversationName(Struct):
    id: str


class StreamOptions(Struct):
    include_obfuscation: bool | None = None


class Body(Struct, kw_only=True):
    model: str
    input: str | list[Any] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationName | None = None
    reasoning: ReasoningSettings | None = None
    text: TextSettings | None = None
    tools: Annotated[list[Any], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: Mode | Choice | None = None
    parallel_tool_calls: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    background: bool | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: Count | None = None
    max_tool_calls: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    include: list[str] | None = None
    metadata: Metadata | None = None
    prompt: Any = None
    context_management: list[Any] | None = None
    prompt_cache_key: Value | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    safety_identifier: Value | None = None
    user: Value | None = None
    service_tier: str | None = None


class Question:
    """A body, checked as far as it can be without its model, and what it goes on from."""

    def __init__(self, body: Body, *, key: ApiKey) -> None:
        self.body = body
        self.key = key
        self.dialect: Dialect | None = None  # in which the answer's faults are told
        self.model = body.model
        self.input = items.read(body.input)
        self.tools = tools.read(body.tools)
        self.tool_choice, self._specs = tools.read_choice(body.tool_choice, self.tools)
        self._check()

    # ---- webapp.api.question.Question

    @property
    def is_stream(self) -> bool:
        return bool(self.body.stream)

    @property
    def num_choices(self) -> int:
        return 1

    @property
    def asker(self) -> str:
        return self.body.safety_identifier or self.body.user or ""

    @property
    def is_one_call_at_most(self) -> bool:
        return self.body.parallel_tool_calls is False

    def to_chat_request(self, *, id: str, model: ServedModel, tenant: str) -> ChatRequest:
        if self.body.tools and not model.calls_tools:
            _refuse("tools", f"{model.label} cannot call tools: leave `tools` out, or choose another model.")
        sampling = self._sampling(model)
        request = ChatRequest(
            id=id,
            model=model.upstream_name,
            messages=history.read(self.whole_input, instructions=self.body.instructions, tenant=tenant),
            tools=self._specs,
            tool_choice=self.tool_choice,
            response_format=tools.read_format(self.body.text),
            sampling=sampling,
            thinking=thinking_switch.read(None, self._effort, None, model=model),
            tenant=tenant,
        )
        if self.body.truncation != "auto":
            return request
        room = max(model.context_tokens - (sampling.max_tokens or 0), model.context_tokens // 2)
        messages = history.shortened(request.messages, most_tokens=room)
        return msgspec.structs.replace(request, messages=messages)

    def writer(self, request: ChatRequest, *, model: ServedModel) -> Writer:
        asked = self.asked(model)
        writer = Writer(
            telling_for(self.told, request.id, tenant=request.tenant),
            id=request.id,
            asked=asked.told,
            keep_whole=partial(store.keep, asked) if self.is_stored else None,
        )
        if self.dialect is not None:
            self.dialect.writer = writer
        return writer

    # ---- what the dialect adds

    @property
    def is_stored(self) -> bool:
        return self.body.store is not False

    @property
    def is_background(self) -> bool:
        return bool(self.body.background)

    @cached_property
    def context(self) -> Context:
        """Speaks to the database. Raises ApiError."""
        conversation = self.body.conversation
        return store.context(
            self.key,
            previous_id=self.body.previous_response_id,
            conversation_id=conversation.id if isinstance(conversation, ConversationName) else conversation,
        )

    @cached_property
    def own_input(self) -> list[Stored]:
        """Speaks to the database. Raises ApiError."""
        return store.resolved(self.key, self.input)

    @cached_property
    def whole_input(self) -> list[Stored]:
        """With all that it goes on from. Raises ApiError."""
        said = [*self.context.items, *self.own_input]
        if not said and not self.body.instructions:
            _refuse("input", "There is nothing to answer: send `input`.")
        history.check(said)
        return said

    def asked(self, model: ServedModel) -> Asked:
        return Asked(
            user=self.key.user,
            api_key=self.key,
            model=model,
            context=self.context,
            input=self.own_input,
            told=self.told,
        )

    @cached_property
    def told(self) -> dict[str, Any]:
        """The request as its answer repeats it."""
        body = self.body
        conversation = self.context.conversation
        reasoning = body.reasoning or ReasoningSettings()
        return {
            "model": body.model,
            "background": self.is_background,
            "conversation": {"id": conversation.id} if conversation else None,
            "include": body.include or [],
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": body.max_tool_calls,
            "metadata": body.metadata or {},
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "prompt_cache_key": body.prompt_cache_key,
            "reasoning": {
                "effort": reasoning.effort,
                "summary": reasoning.summary or reasoning.generate_summary,
            },
            "safety_identifier": body.safety_identifier,
            "service_tier": "default",
            "store": self.is_stored,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": tools.told_format(body.text),
            "tool_choice": self._told_choice(),
            "tools": list(self.tools.told),
            "top_logprobs": body.top_logprobs or 0,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": body.truncation or "disabled",
            "user": body.user,
        }

    def _told_choice(self) -> Any:
        choice = self.body.tool_choice
        if not isinstance(choice, Choice):
            return choice or "auto"
        sent = msgspec.to_builtins(choice)
        return {name: value for name, value in sent.items() if value is not None}

    @property
    def _effort(self) -> Effort | None:
        return self.body.reasoning.effort if self.body.reasoning else None

    def _sampling(self, model: ServedModel) -> Sampling:
        shows_logprobs = self.body.top_logprobs or LOGPROBS in (self.body.include or ())
        return Sampling(
            temperature=self.body.temperature,
            top_p=self.body.top_p,
            logprobs=(self.body.top_logprobs or 0) if shows_logprobs else None,
            max_tokens=min(self.body.max_output_tokens or model.max_output_tokens, model.max_output_tokens),
        )

    def _check(self) -> None:
        """What the fields' types do not say."""
        body = self.body
        if body.previous_response_id is not None and body.conversation is not None:
            _refuse("conversation", "Send `conversation` or `previous_response_id`, not both.")
        if body.prompt is not None:
            _refuse("prompt", "Prompts are not kept here: send `instructions` and `input`.")
        if body.context_management:
            _refuse("context_management", "Call /v1/responses/compact instead: nothing is compacted unasked.")
        if self.is_background and not self.is_stored:
            _refuse("store", "An answer in the background is kept until it is fetched: leave `store` out.")
        if self.tools.hosted and not self.is_stored:
            _refuse("store", "An answer that uses tools of the platform is kept: leave `store` out.")


class Counted(Question):
    """Whose prompt is counted: nothing is to be said."""

    def _sampling(self, model: ServedModel) -> Sampling:
        return Sampling(max_tokens=0)


_body = msgspec.json.Decoder(Body)


def decode(content: bytes, *, key: ApiKey) -> Question:
    """Raises ApiError 400 that names the field."""
    return Question(json_body.read(content, _body), key=key)


def decode_counted(content: bytes, *, key: ApiKey) -> Counted:
    """The body of a count. Raises ApiError 400 that names the field."""
    return Counted(json_body.read(content, _body), key=key)


def _refuse(param: str, message: str) -> Never:
    raise bad_request(message, param=param)
