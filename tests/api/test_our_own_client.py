"""One platform in front of another: our backend for providers reads our own API without loss."""

from collections.abc import AsyncIterator

import pytest

from inference.backends.base import BackendError, BackendOverloaded, RequestRejected, StreamBroken
from inference.backends.openai_compatible import OpenAICompatibleBackend
from inference.schema import (
    ChatMessage,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    Role,
    Thinking,
    ToolCallDelta,
    Usage,
)

REQUEST = ChatRequest(
    id="r1",
    model="scripted",
    messages=(ChatMessage(role=Role.USER, content="What is 2 + 2?"),),
    thinking=Thinking(enabled=True),
)


@pytest.fixture
async def provider(server: str, secret: str, client) -> AsyncIterator[OpenAICompatibleBackend]:
    backend = OpenAICompatibleBackend(
        base_url=f"{server}/v1", api_key=secret, thinking_dialect="thinking_type"
    )
    yield backend
    await backend.aclose()


async def test_reasoning_content_calls_and_usage_arrive_as_they_were_said(provider, script):
    script("cached: 2", "think: hm hm", "text: Let me see.", 'call: calculate {"expression": "2 + 2"}')
    deltas = [delta async for delta in provider.stream(REQUEST)]
    assert "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta)) == "hm hm"
    assert "".join(delta.text for delta in deltas if isinstance(delta, ContentDelta)) == "Let me see."
    calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert (calls[0].id, calls[0].name) == ("functions.calculate:0", "calculate")
    assert "".join(call.arguments for call in calls) == '{"expression": "2 + 2"}'
    usage = Usage(input_uncached_tokens=3, input_cached_tokens=2, output_tokens=9, reasoning_tokens=2)
    assert deltas[-1] == Finished(reason=FinishReason.TOOL_CALLS, usage=usage)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (("error: rejected Too long.",), RequestRejected),
        (("error: overloaded Busy.",), BackendOverloaded),
        (("text: one two", "break: Gone."), StreamBroken),
    ],
)
async def test_a_fault_arrives_as_the_same_fault(provider, script, fault, error):
    script(*fault)
    with pytest.raises(BackendError) as raised:
        async for _ in provider.stream(REQUEST):
            pass
    assert type(raised.value) is error
