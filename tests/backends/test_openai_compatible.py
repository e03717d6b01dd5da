"""What providers write in their own ways, and what they are told; the rest is in test_contract.py."""

import asyncio

import httpx2
import pytest

from inference.backends.base import BackendMisconfigured, BackendUnavailable, RequestRejected, StreamBroken
from inference.backends.openai_compatible import OpenAICompatibleBackend, _retry_after_s
from inference.backends.provider_stream import MAX_EVENT_BYTES, chunks
from inference.schema import (
    ChatMessage,
    ContentDelta,
    FinishReason,
    Grammar,
    JsonObject,
    JsonSchema,
    NamedTool,
    Regex,
    ResponseFormat,
    Role,
    Sampling,
    Thinking,
    ToolCall,
    ToolSpec,
    Usage,
)
from tests.backends.asking import ask, collect
from tests.backends.stands import ProviderStand
from tests.services import free_port

THINKING = Thinking(enabled=True)


def backend(stand: ProviderStand, dialect: str) -> OpenAICompatibleBackend:
    return OpenAICompatibleBackend(
        base_url=stand.provider.base_url, api_key="sk-right", thinking_dialect=dialect
    )


@pytest.mark.parametrize("style", ["kimi", "openai", "tags"])
async def test_reasoning_is_read_in_every_style(provider: ProviderStand, style: str):
    provider.provider.style = style
    provider.play("cached: 1", "think: two and two", "text: It is 4.")
    answer = await collect(provider.backend, ask("a b c", thinking=THINKING))
    assert (answer.reasoning, answer.content) == ("two and two", "It is 4.")
    usage = answer.finished.usage
    assert (usage.input_uncached_tokens, usage.input_cached_tokens, usage.reasoning_tokens) == (2, 1, 3)


@pytest.mark.parametrize(
    ("dialect", "enabled", "told"),
    [
        ("none", True, {}),
        ("always", True, {}),
        ("thinking_type", True, {"thinking": {"type": "enabled"}}),
        ("thinking_type", False, {"thinking": {"type": "disabled"}}),
        ("template_kwargs", True, {"chat_template_kwargs": {"thinking": True, "enable_thinking": True}}),
        ("template_kwargs", False, {"chat_template_kwargs": {"thinking": False, "enable_thinking": False}}),
    ],
)
async def test_the_switch_is_said_in_the_providers_dialect(
    provider: ProviderStand, dialect: str, enabled: bool, told: dict[str, object]
):
    await collect(backend(provider, dialect), ask(thinking=Thinking(enabled=enabled)))
    [body] = provider.provider.bodies
    assert {name: body[name] for name in ("thinking", "chat_template_kwargs") if name in body} == told


async def test_a_provider_that_does_not_think_is_asked_to_in_the_system_prompt(provider: ProviderStand):
    provider.provider.style = "tags"
    provider.play("think: hm", "text: 4")
    led = backend(provider, "think_tags")
    answer = await collect(led, ask(thinking=THINKING))
    assert (answer.reasoning, answer.content) == ("hm", "4")
    await collect(led, ask())
    asked, plain = provider.provider.bodies
    assert "<think>" in asked["messages"][0]["content"]
    assert [message["role"] for message in plain["messages"]] == ["user"]


async def test_the_request_is_said_in_full_and_nothing_that_was_not_asked(provider: ProviderStand):
    call = ToolCall(id="functions.calculator:0", name="calculator", arguments='{"a": 1}')
    messages = (
        ChatMessage(role=Role.USER, content="1+1?"),
        ChatMessage(role=Role.ASSISTANT, reasoning="hm", tool_calls=(call,)),
        ChatMessage(role=Role.TOOL, content="2", tool_call_id=call.id),
    )
    tool = ToolSpec(name="calculator", description="Computes.", parameters={"type": "object"})
    sampling = Sampling(temperature=0.5, top_k=3, seed=7, stop=("END",), max_tokens=9)
    await collect(provider.backend, ask(messages=messages, tools=(tool,), sampling=sampling, model="m1"))
    await collect(provider.backend, ask("hi"))
    full, bare = provider.provider.bodies
    assert full["model"] == "m1"
    assert full["messages"][1]["reasoning_content"] == "hm"
    assert full["messages"][1]["tool_calls"][0]["function"] == {"name": "calculator", "arguments": '{"a": 1}'}
    assert full["messages"][2]["tool_call_id"] == call.id
    assert full["tools"][0]["function"]["name"] == "calculator"
    said = {name: full[name] for name in ("temperature", "top_k", "seed", "stop", "max_tokens")}
    assert said == {"temperature": 0.5, "top_k": 3, "seed": 7, "stop": ["END"], "max_tokens": 9}
    assert set(bare) == {"model", "messages", "stream", "stream_options", "thinking"}


async def test_a_wrong_key_is_the_operators_fault_and_names_the_host(provider: ProviderStand):
    wrong = OpenAICompatibleBackend(base_url=provider.provider.base_url, api_key="sk-wrong")
    with pytest.raises(RequestRejected, match=r"127\.0\.0\.1 refused the key") as refusal:
        await collect(wrong, ask())
    # Some providers say the key again, and everybody who chats would read it.
    assert "wrong key" not in str(refusal.value)


async def test_nobody_there_is_said_soon():
    nobody = OpenAICompatibleBackend(base_url=f"http://127.0.0.1:{free_port()}/v1", api_key="x")
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        await asyncio.wait_for(collect(nobody, ask()), 5)
    assert not await nobody.is_ready()


async def test_an_answer_without_an_end_is_broken(provider: ProviderStand):
    provider.play("text: so far", "finish: error")
    answer = await collect(provider.backend, ask())
    assert answer.finished.detail == "The provider ended the answer: error."
    provider.provider._last_chunks = lambda finished: []  # type: ignore[method-assign]  # it forgets its last words
    with pytest.raises(StreamBroken, match="without finishing"):
        await collect(provider.backend, ask())


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "delta": None, "finish_reason": "stop"},
        {"index": 0, "delta": "text", "finish_reason": "stop"},
        {"index": 0, "delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": "many"}},
    ],
)
async def test_a_piece_of_the_wrong_shape_breaks_the_stream(provider: ProviderStand, choice):
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    provider.provider._chunks = lambda delta: [chunk]  # type: ignore[method-assign]  # a provider gone wrong
    with pytest.raises(StreamBroken, match="no part of an answer"):
        await collect(provider.backend, ask())


async def test_counts_that_cannot_be_are_none(provider: ProviderStand):
    usage = {"prompt_tokens": -5, "completion_tokens": None, "total_tokens": 1, "cached_tokens": -7}
    ending = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    provider.provider._chunks = lambda delta: [chunk | {"choices": [ending], "usage": usage}]  # type: ignore[method-assign]
    assert (await collect(provider.backend, ask())).finished.usage == Usage()


@pytest.mark.parametrize("said", ["nan", "inf", "-3", "1e9"])
def test_a_wait_that_cannot_be_is_not_passed_on(said):
    assert 0 <= _retry_after_s(httpx2.Headers({"retry-after": said})) <= 600


async def test_formats_and_forced_tools_are_passed_on(provider: ProviderStand):
    schema = {"type": "object"}
    tool = ToolSpec(name="a", description="", parameters=schema)
    asked = ask(
        tools=(tool,),
        tool_choice=NamedTool("a"),
        response_format=JsonSchema(schema=schema),
        sampling=Sampling(logit_bias={7: -3.0}, logprobs=2, repetition_penalty=1.1),
    )
    await collect(provider.backend, asked)
    await collect(provider.backend, ask(response_format=JsonObject(), tools=(tool,), tool_choice="required"))
    named, plain = provider.provider.bodies
    assert named["tool_choice"] == {"type": "function", "function": {"name": "a"}}
    assert named["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }
    assert (named["logit_bias"], named["logprobs"], named["top_logprobs"]) == ({"7": -3.0}, True, 2)
    assert named["repetition_penalty"] == 1.1
    assert (plain["tool_choice"], plain["response_format"]) == ("required", {"type": "json_object"})


@pytest.mark.parametrize("asked", [Regex("a+"), Grammar(source="start: /a/")])
async def test_a_format_that_providers_do_not_know_is_refused(provider: ProviderStand, asked: ResponseFormat):
    with pytest.raises(RequestRejected, match="JSON schemas only"):
        await collect(provider.backend, ask(response_format=asked))
    assert provider.provider.bodies == []


async def test_log_probabilities_of_a_provider_come_with_their_text(provider: ProviderStand):
    provider.provider.has_logprobs = True
    provider.play("text: ab")
    answer = await collect(provider.backend, ask(sampling=Sampling(logprobs=1)))
    told = [one for delta in answer.deltas if isinstance(delta, ContentDelta) for one in delta.logprobs]
    assert "".join(one.drawn.token for one in told) == answer.content == "ab"
    assert told[0].drawn.logprob == -0.5
    assert [likely.token for likely in told[0].top] == ["z"]


async def test_a_raw_servers_marks_are_read_here(provider: ProviderStand):
    call = "<|tool_call_begin|>functions.calculator:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
    section = f"<|tool_calls_section_begin|>{call}<|tool_calls_section_end|>"
    provider.play(f"text: hm</think>I compute.{section}")
    raw = OpenAICompatibleBackend(
        base_url=provider.provider.base_url,
        api_key="sk-right",
        thinking_dialect="always",
        output_parser="ours",
    )
    calculator = ToolSpec(name="calculator", description="", parameters={"type": "object"})
    answer = await collect(raw, ask(tools=(calculator,)))
    assert (answer.reasoning, answer.content) == ("hm", "I compute.")
    assert [(call.id, call.arguments) for call in answer.tool_calls] == [("functions.calculator:0", "{}")]
    assert answer.finished.reason is FinishReason.TOOL_CALLS


async def test_a_provider_that_sends_elsewhere_is_not_followed():
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        place = f"http://localhost:{port}/elsewhere"
        writer.write(f"HTTP/1.1 307 Moved\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        led = OpenAICompatibleBackend(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-right")
        with pytest.raises(BackendMisconfigured, match=r"127\.0\.0\.1 sends its callers elsewhere"):
            await collect(led, ask())
        await led.aclose()
    assert len(asked) == 1


@pytest.mark.parametrize("variable", ["all_proxy", "http_proxy"])
async def test_a_proxy_of_another_kind_is_the_operators_fault(
    provider: ProviderStand, monkeypatch: pytest.MonkeyPatch, variable: str
):
    for name in ("all_proxy", "http_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(variable, f"socks5://127.0.0.1:{free_port()}")
    through = backend(provider, "none")
    with pytest.raises(BackendMisconfigured, match="socks5.*NO_PROXY"):
        await collect(through, ask())
    assert not await through.is_ready()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert await through.is_ready()
    await collect(through, ask())
    await through.aclose()


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: 1\n" * 8192], ids=["one line", "many lines"])
async def test_an_event_without_an_end_is_let_go_of(piece: bytes):
    num_sent = 0

    async def pieces():
        nonlocal num_sent
        while True:
            num_sent += len(piece)
            yield piece

    with pytest.raises(ValueError, match="longer than"):
        async for _ in chunks(pieces()):
            pass
    assert num_sent < 1.25 * MAX_EVENT_BYTES  # the ends of its lines are not kept
