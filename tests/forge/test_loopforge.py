"""LoopForge itself: the same words at every call, in every process; each fault as a provider shows it."""

import json
from collections.abc import AsyncIterator, Callable

import pytest
from django.core.management import CommandError, call_command

from agents.tool import ToolContext
from agents.tools.calculate import Calculate
from inference.backends.base import (
    BackendError,
    BackendOverloaded,
    BackendUnavailable,
    PromptTooLong,
    RequestRejected,
    StreamBroken,
)
from inference.backends.openai_compatible import OpenAICompatibleBackend
from inference.schema import (
    ChatMessage,
    ChatRequest,
    ContentDelta,
    Finished,
    ReasoningDelta,
    Role,
    ToolCall,
    ToolCallDelta,
)
from tests.forge.conftest import Forge
from tests.loopforge import talk
from tests.loopforge.server import LoopForge, Manner
from tests.loopforge.serving import serve
from tests.services import free_port

ANSWERED = "Done after {steps} of {steps} steps. Seen: "
Spoil = Callable[[str], str]


class Client:
    """A loop of the shortest kind on a backend: what is proved here is the server, not our loop."""

    def __init__(self, base_url: str) -> None:
        self.backend = OpenAICompatibleBackend(base_url=base_url, api_key="x", thinking_dialect="always")
        self.finished: list[Finished] = []

    async def reply(self, messages: list[ChatMessage], *, has_tools: bool = True) -> ChatMessage:
        tools = (Calculate.spec,) if has_tools else ()
        reasoning = content = ""
        calls: dict[int, list[str]] = {}
        async for delta in self.backend.stream(
            ChatRequest(id="1", model="m", messages=tuple(messages), tools=tools)
        ):
            if isinstance(delta, ReasoningDelta):
                reasoning += delta.text
            elif isinstance(delta, ContentDelta):
                content += delta.text
            elif isinstance(delta, ToolCallDelta):
                calls.setdefault(delta.index, [delta.id, delta.name, ""])[2] += delta.arguments
            else:
                self.finished.append(delta)
        made = tuple(ToolCall(id=one, name=name, arguments=text) for one, name, text in calls.values())
        return ChatMessage(role=Role.ASSISTANT, content=content, reasoning=reasoning, tool_calls=made)

    async def answer(self, question: str, *, spoil: Spoil = str) -> str:
        messages = [ChatMessage(role=Role.USER, content=question)]
        while True:
            messages.append(reply := await self.reply(messages))
            if not reply.tool_calls:
                return reply.content
            for call in reply.tool_calls:
                result = await Calculate().run(json.loads(call.arguments), ToolContext(key=""))
                said = spoil(result.for_model)
                messages.append(ChatMessage(role=Role.TOOL, content=said, tool_call_id=call.id))


@pytest.fixture
async def client(forge: Forge) -> AsyncIterator[Client]:
    client = Client(forge.base_url)
    yield client
    await client.backend.aclose()


async def test_the_same_question_gets_the_same_answer_from_another_server(client: Client) -> None:
    first = await client.answer("Go. forge: steps=8 seed=3 calls=3")
    assert first.startswith(ANSWERED.format(steps=8))
    with serve(LoopForge(), port=free_port()) as base_url:
        assert await Client(base_url).answer("Go. forge: steps=8 seed=3 calls=3") == first


async def test_a_result_that_was_changed_on_the_way_changes_the_answer(client: Client) -> None:
    question = "Go. forge: steps=8"
    honest = await client.answer(question)
    seen = iter(range(100))
    assert await client.answer(question, spoil=lambda said: said + "0" * (next(seen) == 5)) != honest


async def test_reasoning_that_is_not_sent_back_is_refused_as_kimi_refuses_it(client: Client) -> None:
    asked = [ChatMessage(role=Role.USER, content="Go.")]
    [call] = (reply := await client.reply(asked)).tool_calls
    forgetful = ChatMessage(role=Role.ASSISTANT, tool_calls=reply.tool_calls)
    result = ChatMessage(role=Role.TOOL, content="4", tool_call_id=call.id)
    with pytest.raises(RequestRejected, match="reasoning_content is missing"):
        await client.reply([*asked, forgetful, result])
    with pytest.raises(RequestRejected, match="did not have response messages"):
        await client.reply([*asked, reply])


async def test_tokens_of_the_step_before_are_cached(client: Client, forge: Forge) -> None:
    await client.answer("Go. forge: steps=6")
    assert client.finished[0].usage.input_cached_tokens == 0
    assert client.finished[-1].usage.input_cached_tokens > client.finished[-1].usage.input_uncached_tokens
    assert client.finished[-1].usage.reasoning_tokens > 0
    forge.app.manner = Manner(has_prefix_cache=True)
    await client.answer("Go. forge: steps=6")
    assert forge.app.asked[-1].cached_tokens > 0.6 * forge.app.asked[-1].prompt_tokens


async def test_what_was_handed_over_is_enough_to_go_on(client: Client) -> None:
    question = ChatMessage(role=Role.USER, content="Go. forge: steps=2")
    [call] = (first := await client.reply([question])).tool_calls
    result = ChatMessage(role=Role.TOOL, content="4", tool_call_id=call.id)
    handed = await client.reply([question, first, result], has_tools=False)
    note = ChatMessage(role=Role.USER, content=f"{talk.PLATFORM} {handed.content}")
    assert (await client.reply([question, note])).reasoning.startswith("[at 2 ")
    assert (await client.reply([question, first, result])).reasoning.startswith("[at 2 ")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("busy", BackendOverloaded),
        ("fails", BackendUnavailable),
        ("cut", StreamBroken),
        ("quota", BackendOverloaded),
        ("unpaid", BackendOverloaded),
        ("overflow", PromptTooLong),
    ],
)
async def test_a_fault_of_the_wire_comes_as_often_as_it_was_asked_for(
    fault: str, kind: type[BackendError], client: Client
) -> None:
    asked = [ChatMessage(role=Role.USER, content=f"Go. forge: steps=1 faults={fault}@1x2")]
    for _ in range(2):
        with pytest.raises(kind) as raised:
            await client.reply(asked)
        if fault in ("quota", "unpaid"):
            assert getattr(raised.value, "retry_after_s", 0) >= 60
    assert (await client.reply(asked)).tool_calls


@pytest.mark.parametrize(
    "fault",
    [
        *("trailing", "stringified", "fenced", "foreign_ids"),
        *("malformed", "wrong_types", "missing", "unknown_tool"),
    ],
)
async def test_a_fault_of_the_model_is_in_its_calls(fault: str, client: Client) -> None:
    asked = [ChatMessage(role=Role.USER, content=f"Go. forge: steps=2 faults={fault}@1")]
    [faulty] = (await client.reply(asked)).tool_calls
    [right] = (await client.reply([ChatMessage(role=Role.USER, content="Go. forge: steps=2")])).tool_calls
    assert faulty != right


def test_a_fault_that_nobody_knows_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(CommandError, match=r"meteor.* busy, .*cut") as refused:
        call_command("loopforge", "--faults", "meteor@3")
    assert "kind@step" in str(refused.value)
