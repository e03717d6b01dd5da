"""The spans of a turn, as OpenTelemetry's own exporter sees them."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from agents import tracing
from agents.steps.reply import Reply
from agents.tool import Effect, Fault, Intent, ToolResult, Waiting, WaitingFor
from inference.schema import ChatMessage, ChatRequest, FinishReason, Role, Sampling, ToolCall, Usage
from tests.spans import exported

__all__ = ["exported"]

SECRET = "the canary sings"
REQUEST = ChatRequest(
    id="turn.1.abc",
    model="kimi",
    messages=(
        ChatMessage(role=Role.USER, content=SECRET),
        ChatMessage(role=Role.TOOL, content=SECRET, tool_call_id="functions.look:0", name="look"),
    ),
    sampling=Sampling(max_tokens=100, seed=7),
)
INTENT = Intent(
    step=3,
    index=0,
    call_id="functions.mail:2",
    name="mail",
    arguments=f'"{SECRET}"',
    key="k",
    effect=Effect.EXTERNAL,
)
REPLY = Reply(
    step=3,
    reasoning=SECRET,
    content=SECRET,
    tool_calls=(ToolCall(id="functions.mail:2", name="mail", arguments=SECRET),),
    finish_reason=FinishReason.TOOL_CALLS,
    detail="",
    usage=Usage(input_uncached_tokens=10, input_cached_tokens=90, output_tokens=20, reasoning_tokens=5),
    is_estimated=False,
    reasoning_tokens=5,
    reasoning_ms=1,
    duration_ms=2,
)


def a_step(turn_id: str) -> None:
    with tracing.turn(turn_id, model="kimi"):
        with tracing.step(REQUEST, number=3) as span:
            span.replied(REPLY)
        with tracing.tool(INTENT) as call:
            call.ended(ToolResult(for_model=SECRET))


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_turn_is_an_agent_that_chats_and_executes_tools(exported: InMemorySpanExporter) -> None:
    turn_id = str(uuid4())
    a_step(turn_id)
    spans = by_name(exported)
    assert set(spans) == {"invoke_agent assistant", "chat kimi", "execute_tool mail"}
    agent, chat, tool = (spans[name] for name in ("invoke_agent assistant", "chat kimi", "execute_tool mail"))
    for span in (chat, tool):
        assert span.parent is not None
        assert span.parent.span_id == agent.context.span_id
    assert attributes(agent)["gen_ai.conversation.id"] == turn_id
    assert attributes(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "kimi-k2-self-hosted",
        "gen_ai.request.model": "kimi",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.seed": 7,
        "gen_ai.response.id": "turn.1.abc",
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 90,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "turn.step": 3,
    }
    assert attributes(tool)["gen_ai.tool.name"] == "mail"
    assert attributes(tool)["gen_ai.tool.call.id"] == "functions.mail:2"


def test_a_turns_id_is_its_trace_whoever_drives_it(exported: InMemorySpanExporter) -> None:
    turn_id, parent_id = str(uuid4()), str(uuid4())
    a_step(turn_id)
    a_step(turn_id)
    with tracing.turn(parent_id, model="kimi", role="critic", spawned_by=turn_id):
        pass
    spans = exported.get_finished_spans()
    assert [format(span.context.trace_id, "032x") for span in spans[:6]] == [turn_id.replace("-", "")] * 6
    agent = by_name(exported)["invoke_agent critic"]
    assert format(agent.links[0].context.trace_id, "032x") == turn_id.replace("-", "")


def test_a_share_of_the_turns_is_traced_each_of_them_whole(exported: InMemorySpanExporter) -> None:
    tracing.configure(captures_content=False, share=0.5)
    for number in range(200):
        a_step(str(UUID(int=(number << 64) | (0b10 << 62), version=4)))
    traces = Counter(span.context.trace_id for span in exported.get_finished_spans())
    assert set(traces.values()) == {3}
    assert 70 < len(traces) < 130


def test_what_people_and_models_write_stays_out_unless_asked_for(exported: InMemorySpanExporter) -> None:
    a_step(str(uuid4()))
    with pytest.raises(ValueError, match="canary"), tracing.tool(INTENT):
        raise ValueError(SECRET)
    assert SECRET not in "".join(span.to_json() for span in exported.get_finished_spans())
    tracing.configure(captures_content=True)
    a_step(str(uuid4()))
    chat, tool = (attributes(span) for span in exported.get_finished_spans()[-3:-1])
    assert json.loads(str(chat["gen_ai.input.messages"]))[0]["parts"] == [{"type": "text", "content": SECRET}]
    (answer,) = json.loads(str(chat["gen_ai.output.messages"]))
    assert [part["type"] for part in answer["parts"]] == ["reasoning", "text", "tool_call"]
    assert tool["gen_ai.tool.call.arguments"] == INTENT.arguments
    assert tool["gen_ai.tool.call.result"] == SECRET


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (ToolResult(for_model="x", is_error=True, fault=Fault.TIMEOUT), "timeout"),
        (ToolResult(for_model="x", is_error=True), "failed"),
    ],
)
def test_a_tools_fault_is_the_spans_error(
    exported: InMemorySpanExporter, outcome: ToolResult, expected: str
) -> None:
    with tracing.tool(INTENT) as span:
        span.ended(outcome)
    (span_,) = exported.get_finished_spans()
    assert attributes(span_)["error.type"] == expected
    assert span_.status.status_code is StatusCode.ERROR


def test_a_call_that_waits_is_no_error(exported: InMemorySpanExporter) -> None:
    with tracing.tool(INTENT) as span:
        span.ended(Waiting(waiting_for=WaitingFor.APPROVAL))
    (span_,) = exported.get_finished_spans()
    assert attributes(span_)["turn.tool.waiting_for"] == "approval"
    assert "error.type" not in attributes(span_)


def test_a_model_call_that_was_given_up_names_the_exception(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ConnectionError), tracing.step(REQUEST, number=1):
        raise ConnectionError(SECRET)
    (span,) = exported.get_finished_spans()
    assert attributes(span)["error.type"] == "ConnectionError"
    assert (span.events, span.status.description) == ((), None)


async def test_calls_that_run_at_once_are_children_of_the_same_turn(exported: InMemorySpanExporter) -> None:
    async def call() -> None:
        with tracing.tool(INTENT) as span:
            await asyncio.sleep(0)
            span.ended(ToolResult(for_model="x"))

    with tracing.turn(str(uuid4()), model="kimi"):
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(call())
    spans: Sequence[ReadableSpan] = exported.get_finished_spans()
    assert {span.parent.span_id for span in spans[:5] if span.parent} == {spans[5].context.span_id}


def test_without_an_sdk_a_step_costs_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer", lambda name: trace.NoOpTracer())
    turn_id = str(uuid4())
    a_step(turn_id)
    began = time.process_time()
    for _ in range(200):
        a_step(turn_id)
    assert (time.process_time() - began) / 200 < 0.02
