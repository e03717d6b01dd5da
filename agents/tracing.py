"""Spans of a turn for OpenTelemetry, under the names of its GenAI conventions; every such name stands here.

Without a configured SDK all of it does nothing. What people and models wrote is recorded only when asked for.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from agents.steps.reply import Reply
from agents.tool import Intent, ToolResult, Waiting
from inference.schema import ChatMessage, ChatRequest, FinishReason

SCOPE = "agents"
PROVIDER = "kimi-k2-self-hosted"

# The conventions are in development and move: nothing else in the project writes one of these names.
OPERATION = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
CONVERSATION_ID = "gen_ai.conversation.id"
AGENT_ID = "gen_ai.agent.id"
AGENT_NAME = "gen_ai.agent.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_SEED = "gen_ai.request.seed"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
ERROR_TYPE = "error.type"
STEP = "turn.step"
CACHED = "turn.tool.is_cached"
EFFECT = "turn.tool.effect"
WAITING_FOR = "turn.tool.waiting_for"

_captures_content = False
_share = 1.0


def configure(*, captures_content: bool, share: float = 1.0) -> None:
    """Whether spans carry messages, arguments and results: off at the start. `share` of the turns are traced,
    each of them whole or not at all."""
    global _captures_content, _share
    _captures_content, _share = captures_content, share


class StepSpan:
    """The span of a model call that is under way."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def replied(self, reply: Reply) -> None:
        usage = reply.usage
        self._span.set_attributes(
            {
                FINISH_REASONS: [str(reply.finish_reason)],
                INPUT_TOKENS: usage.input_tokens,
                CACHED_TOKENS: usage.input_cached_tokens,
                OUTPUT_TOKENS: usage.output_tokens,
                REASONING_TOKENS: usage.reasoning_tokens,
            }
        )
        if reply.finish_reason is FinishReason.ERROR:
            _fail(self._span, "reply_failed")
        if _captures_content and self._span.is_recording():
            self._span.set_attribute(OUTPUT_MESSAGES, _json([_reply_message(reply)]))


class ToolSpan:
    """The span of a tool call that is under way."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def ended(self, outcome: ToolResult | Waiting) -> None:
        if isinstance(outcome, Waiting):
            self._span.set_attribute(WAITING_FOR, str(outcome.waiting_for))
            return
        self._span.set_attribute(CACHED, outcome.is_cached)
        if outcome.is_error:
            _fail(self._span, str(outcome.fault or "failed"))
        if _captures_content:
            self._span.set_attribute(TOOL_RESULT, outcome.for_model)


@contextmanager
def turn(turn_id: str, *, model: str, role: str = "", spawned_by: str = "") -> Iterator[None]:
    """Around each segment of a turn. A turn's id is its trace id, so that all its segments, whichever worker
    drove them, are one trace; the trace of an agent links to that of the turn that spawned it."""
    parent = trace.set_span_in_context(NonRecordingSpan(_home(turn_id)))
    links = [Link(_home(spawned_by))] if spawned_by else []
    agent = role or "assistant"
    attributes = {
        OPERATION: "invoke_agent",
        PROVIDER_NAME: PROVIDER,
        CONVERSATION_ID: turn_id,
        AGENT_ID: turn_id,
        AGENT_NAME: agent,
        REQUEST_MODEL: model,
    }
    tracer = trace.get_tracer(SCOPE)
    with (
        tracer.start_as_current_span(
            f"invoke_agent {agent}",
            context=parent,
            links=links,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span,
        _faults_of(span),
    ):
        yield


@contextmanager
def step(request: ChatRequest, *, number: int) -> Iterator[StepSpan]:
    """Around one model call with all its attempts."""
    attributes: dict[str, str | int] = {
        OPERATION: "chat",
        PROVIDER_NAME: PROVIDER,
        REQUEST_MODEL: request.model,
        RESPONSE_ID: request.id,
        STEP: number,
    }
    if request.sampling.max_tokens is not None:
        attributes[REQUEST_MAX_TOKENS] = request.sampling.max_tokens
    if request.sampling.seed is not None:
        attributes[REQUEST_SEED] = request.sampling.seed
    with _span(f"chat {request.model}", SpanKind.CLIENT, attributes) as span:
        if _captures_content and span.is_recording():
            span.set_attribute(INPUT_MESSAGES, _json([_message(message) for message in request.messages]))
        yield StepSpan(span)


@contextmanager
def tool(intent: Intent) -> Iterator[ToolSpan]:
    """Around one tool call, whatever becomes of it."""
    attributes: dict[str, str | int] = {
        OPERATION: "execute_tool",
        TOOL_NAME: intent.name,
        TOOL_TYPE: "function",
        TOOL_CALL_ID: intent.call_id,
        STEP: intent.step,
        EFFECT: str(intent.effect),
    }
    with _span(f"execute_tool {intent.name}", SpanKind.INTERNAL, attributes) as span:
        if _captures_content:
            span.set_attribute(TOOL_ARGUMENTS, intent.arguments)
        yield ToolSpan(span)


@contextmanager
def _span(name: str, kind: SpanKind, attributes: dict[str, str | int]) -> Iterator[Span]:
    # No recorded exceptions: their texts may hold what people wrote.
    tracer = trace.get_tracer(SCOPE)
    with (
        tracer.start_as_current_span(
            name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span,
        _faults_of(span),
    ):
        yield span


@contextmanager
def _faults_of(span: Span) -> Iterator[None]:
    try:
        yield
    except BaseException as fault:
        _fail(span, type(fault).__qualname__)
        raise


def _fail(span: Span, kind: str) -> None:
    span.set_attribute(ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR))


def _home(turn_id: str) -> SpanContext:
    """The root of the turn's trace. It is no span itself: a turn has no single process to record one."""
    digest = hashlib.sha256(turn_id.encode()).digest()
    try:
        trace_id = UUID(turn_id).int
    except ValueError:
        trace_id = int.from_bytes(digest[:16])
    # Chosen here and not by the SDK: its samplers take an id's bits for random, and a UUID's are not all.
    is_chosen = int.from_bytes(digest[-8:]) < _share * 2**64
    flags = TraceFlags(TraceFlags.SAMPLED if is_chosen else TraceFlags.DEFAULT)
    return SpanContext(trace_id, trace_id & (2**64 - 1) or 1, is_remote=True, trace_flags=flags)


def _message(message: ChatMessage) -> dict[str, object]:
    """In the shape of the conventions: a role and its parts."""
    if message.tool_call_id:
        part = {"type": "tool_call_response", "id": message.tool_call_id, "response": message.content}
        return {"role": str(message.role), "parts": [part]}
    parts = _texts(message.reasoning, message.content)
    parts += [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        for call in message.tool_calls
    ]
    return {"role": str(message.role), "parts": parts}


def _reply_message(reply: Reply) -> dict[str, object]:
    parts = _texts(reply.reasoning, reply.content)
    parts += [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        for call in reply.tool_calls
    ]
    return {"role": "assistant", "parts": parts, "finish_reason": str(reply.finish_reason)}


def _texts(reasoning: str, content: str) -> list[dict[str, str]]:
    return [
        {"type": kind, "content": text}
        for kind, text in (("reasoning", reasoning), ("text", content))
        if text
    ]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
