"""Calls on the side cost no more than there is set aside for them."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from agents.budget import Grant
from agents.memory_store import MemoryStore
from agents.steps import model_call
from agents.steps.asking import AskFailed
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
