"""What a provider that speaks OpenAI's chat completions is asked: a request as the body of the call."""

from collections.abc import Sequence
from typing import Any

from inference.backends.base import RequestRejected
from inference.parsers import reasoning
from inference.schema import (
    ChatMessage,
    ChatRequest,
    JsonObject,
    JsonSchema,
    NamedTool,
    ResponseFormat,
    Role,
    ToolSpec,
)
from inference.tokenizer import kimi_messages

# The dialects of Moonshot's own API, and of servers that follow it.
_KIMI = ("always", "thinking_type")


def body(request: ChatRequest, *, dialect: str) -> dict[str, Any]:
    """What is sent, ready to be encoded; what was not asked for is left out. Raises RequestRejected."""
    sampling = request.sampling
    is_led = dialect == "think_tags" and request.thinking.enabled
    messages = reasoning.ask_for(request.messages) if is_led else request.messages
    said: dict[str, Any] = {
        "model": request.model,
        "messages": _messages(messages, request, dialect),
        "tools": [_declaration(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request),
        "response_format": _response_format(request.response_format),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": {str(token_id): bias for token_id, bias in sampling.logit_bias.items()} or None,
        "logprobs": None if sampling.logprobs is None else True,
        "top_logprobs": sampling.logprobs or None,
        "seed": sampling.seed,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop) or None,
        "stream": True,
        "stream_options": {"include_usage": True},
        **_extra(request, dialect),
    }
    return {name: value for name, value in said.items() if value is not None}


def _extra(request: ChatRequest, dialect: str) -> dict[str, Any]:
    """What OpenAI's own API does not know; only said to providers that do, for others may refuse it."""
    sampling, enabled = request.sampling, request.thinking.enabled
    extra: dict[str, Any] = {
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
    }
    if dialect in _KIMI and request.cache_key:
        extra["prompt_cache_key"] = request.cache_key
    if dialect == "thinking_type":
        extra["thinking"] = {"type": "enabled" if enabled else "disabled"}
    if dialect == "template_kwargs":
        # Families of open models read one or the other name.
        extra["chat_template_kwargs"] = {"thinking": enabled, "enable_thinking": enabled}
        if request.continues:
            extra |= {"continue_final_message": True, "add_generation_prompt": False}
    return {name: value for name, value in extra.items() if value is not None}


def _tool_choice(request: ChatRequest) -> Any:
    if not request.tools:
        return None
    if isinstance(request.tool_choice, NamedTool):
        return {"type": "function", "function": {"name": request.tool_choice.name}}
    return request.tool_choice


def _response_format(asked: ResponseFormat | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    if isinstance(asked, JsonObject):
        return {"type": "json_object"}
    if isinstance(asked, JsonSchema):
        named = {"name": asked.name or "answer", "schema": asked.schema, "strict": True}
        return {"type": "json_schema", "json_schema": named}
    raise RequestRejected("This model's provider takes JSON schemas only: no regular expression, no grammar.")


def _messages(messages: Sequence[ChatMessage], request: ChatRequest, dialect: str) -> list[dict[str, Any]]:
    if dialect not in _KIMI:
        return [_message(message) for message in messages]
    # Kimi was trained on ids of one form, and not every server of it renames those of others.
    sent = [_message(message) for message in kimi_messages.numbered(messages)]
    for message in sent:
        if request.thinking.enabled and "tool_calls" in message:
            # Refused without; where it is lost for good a space stands in its place.
            message.setdefault("reasoning_content", " ")
    if request.continues:
        sent[-1]["partial"] = True
    return sent


def _message(message: ChatMessage) -> dict[str, Any]:
    sent: dict[str, Any] = {"role": message.role.value, "content": message.content}
    if message.role is Role.ASSISTANT and message.reasoning:
        # Kimi refuses a tool call of the running turn that comes back without its reasoning.
        sent["reasoning_content"] = message.reasoning
    if message.tool_calls:
        sent["tool_calls"] = [
            {
                "id": call.id,
                "type": _kind(call.name),
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        sent["tool_call_id"] = message.tool_call_id
    if message.name:
        sent["name"] = message.name
    return sent


def _declaration(tool: ToolSpec) -> dict[str, Any]:
    kind = _kind(tool.name)
    return {"type": kind, "function": tool if kind == "function" else {"name": tool.name}}


def _kind(name: str) -> str:
    """No function of ours may bear a name with a $: it is one that the provider itself carries out."""
    return "builtin_function" if name.startswith("$") else "function"
