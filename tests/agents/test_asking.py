"""Calls on the side cost no more than there is set aside for them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from agents.budget import Grant
from agents.memory_store import MemoryStore
from agents.steps import model_call
from agents.steps.asking import AskFailed
from inference.backends.base import RequestRejected
from inference.backends.scripted import Script, ScriptedBackend
from inference.schema import ChatDelta, ChatRequest, Usage
from tests.agents.stage import QUESTION, Stage


class Scarce(MemoryStore):
    """Grants what is left."""

    grant = Grant(max_tokens=300)

    async def reserve(self, request: ChatRequest, *, spent: Usage) -> Grant:
        return self.grant


class Attentive(ScriptedBackend):
    def __init__(self, *lines: str) -> None:
        super().__init__(Script.of(*lines))
        self.asked: list[ChatRequest] = []

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self.asked.append(request)
        async for delta in super().stream(request):
            yield delta


def stage_of(grant: Grant, *lines: str, **setting: Any) -> tuple[Stage, Sequence[ChatRequest]]:
    store, backend = Scarce(), Attentive(*lines)
    store.grant = grant
    return Stage(backend=backend, store=store, **setting), backend.asked


async def test_a_call_on_the_side_uses_no_more_tokens_than_were_granted() -> None:
    stage, asked = stage_of(Grant(max_tokens=300), "text: yes")
    ask = model_call.asker(stage.setting, stage.progress)
    assert (await ask([QUESTION], max_tokens=900)).text == "yes"
    assert [request.sampling.max_tokens for request in asked] == [300]


async def test_the_last_of_the_money_is_not_spent_on_the_side() -> None:
    stage, asked = stage_of(Grant(max_tokens=300, is_final=True), "text: yes")
    with pytest.raises(AskFailed):
        await model_call.asker(stage.setting, stage.progress)([QUESTION], max_tokens=900)
    assert not asked


async def test_a_call_on_the_side_is_counted_as_soon_as_it_has_ended() -> None:
    stage, _ = stage_of(Grant(max_tokens=300), "text: yes it is")
    await model_call.asker(stage.setting, stage.progress)([QUESTION], max_tokens=900)
    [aside] = stage.kept.asides
    assert aside.usage.output_tokens == 3
    assert stage.progress.usage == aside.usage


@pytest.mark.parametrize("lines", [("think: hm",), ("call: calculate {}",), ("text: a b", "finish: error")])
async def test_a_call_that_brings_no_answer_is_paid_for_all_the_same(lines: tuple[str, ...]) -> None:
    stage, _ = stage_of(Grant(max_tokens=3_000), *lines)
    with pytest.raises(AskFailed):
        await model_call.asker(stage.setting, stage.progress)([QUESTION], max_tokens=900)
    [aside] = stage.kept.asides
    assert aside.usage.total_tokens == stage.progress.usage.total_tokens > 0


async def test_a_stream_that_breaks_after_the_backend_has_counted_is_paid_for() -> None:
    class Breaking(ScriptedBackend):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            async for delta in super().stream(request):
                yield delta
            raise RequestRejected("too late")

    stage = Stage(backend=Breaking(Script.of("text: yes")), store=MemoryStore())
    with pytest.raises(AskFailed):
        await model_call.asker(stage.setting, stage.progress)([QUESTION], max_tokens=900)
    assert stage.progress.usage.output_tokens == 1


async def test_a_call_that_never_came_about_costs_nothing() -> None:
    stage, _ = stage_of(Grant(max_tokens=300), "error: rejected no")
    with pytest.raises(AskFailed):
        await model_call.asker(stage.setting, stage.progress)([QUESTION], max_tokens=900)
    assert stage.kept.asides == []


async def test_calls_on_the_side_go_one_after_the_other_so_that_each_has_its_own_money() -> None:
    class Counting(Attentive):
        at_once = most = 0

        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            async for delta in super().stream(request):
                yield delta
            self.at_once -= 1

    backend = Counting("wait: 0.01", "text: yes")
    stage = Stage(backend=backend, store=Scarce())
    ask = model_call.asker(stage.setting, stage.progress)
    other = model_call.asker(stage.setting, stage.progress)
    await asyncio.gather(*(one([QUESTION], max_tokens=900) for one in (ask, other, ask)))
    assert (backend.most, len(stage.kept.asides)) == (1, 3)
