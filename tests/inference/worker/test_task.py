"""The default model does a small piece of research: two searches, one calculation, through the real loop."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from django.conf import settings

from agents.steps.loop import Outcome
from agents.tool import ToolContext, ToolResult, Traits
from agents.tools.calculate import Calculate
from inference import engine as engines
from inference import registry
from inference.engine import Engine
from inference.schema import ChatDelta, ChatMessage, ChatRequest, Finished, FinishReason, Role, ToolSpec
from inference.tokenizer.tokenizer import Tokenizer
from inference.worker import defaults
from inference.worker.answer import Answer
from tests.agents.stage import Stage

DOCUMENTS = (
    "The Elmsford Bridge crosses the river Tarn. It was opened in 1874 and is 212 metres long.",
    "The Rona Lighthouse stands on the north cliff. It was built in 1931 and is 38 metres tall.",
)
QUESTION = (
    "In which years were the Elmsford Bridge and the Rona Lighthouse built, and how many years lie between"
    " them? Search for each of them, then calculate the difference."
)
CONTEXT_TOKENS = 4096


class Search:
    """Finds the one of the documents that shares most words with the query."""

    spec = ToolSpec(
        name="search",
        description="Search a small library of documents. Returns the document that fits the query best."
        " One search finds one document: search for one thing at a time.",
        parameters={
            "type": "object",
            "properties": {
                "query": {
                    "type": "string",
                    "description": "What to look for, in a few words.",
                    "minLength": 1,
                }
            },
            "required": ["query"],
            "additionalProperties": False,
        },
    )
    traits = Traits()

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        asked = _words(arguments["query"])
        return ToolResult(for_model=max(DOCUMENTS, key=lambda document: len(asked & _words(document))))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


class EngineBackend:
    """A backend in this process: the worker's way of answering on the real engine, greedy and seeded."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, model_defaults: defaults.Defaults) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._defaults = model_defaults

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        sampling = msgspec.structs.replace(request.sampling, temperature=0.0, seed=1)
        answer = Answer(
            msgspec.structs.replace(request, sampling=sampling),
            tokenizer=self._tokenizer,
            context_tokens=CONTEXT_TOKENS,
            defaults=self._defaults,
        )
        self._engine.add(answer.sequence)
        while True:
            for output in await asyncio.to_thread(self._engine.step):
                deltas = answer.feed(output)
                if following := answer.take_next_sequence():
                    self._engine.add(following)
                elif closing_ids := answer.closing_ids():
                    self._engine.force(request.id, closing_ids)
                for delta in deltas:
                    yield delta
                if deltas and isinstance(deltas[-1], Finished):
                    self._engine.abort(request.id)
                    return

    async def is_ready(self) -> bool:
        return True

    async def aclose(self) -> None:
        return


@pytest.mark.slow
async def test_the_default_model_searches_twice_and_then_calculates() -> None:
    path = registry.load()["qwen2.5-coder-1.5b"].path(settings.MODELS_DIR)
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand: python manage.py models pull qwen2.5-coder-1.5b")
    engine = engines.load(
        path, on_progress=lambda share: None, max_context_tokens=CONTEXT_TOKENS, num_threads=2
    )
    stage = Stage(
        tools=[Search(), Calculate()],
        backend=EngineBackend(engine, Tokenizer.open(path), defaults.of(path)),
        opening=(ChatMessage(role=Role.USER, content=QUESTION),),
    )
    limits = replace(stage.setting.limits, max_seconds=600)
    stage.setting = replace(stage.setting, limits=limits)
    assert await stage.drive(max_steps=10) == Outcome(finish_reason=FinishReason.STOP)
    calls = [call for reply in stage.kept.replies for call in reply.tool_calls]
    assert [call.name for call in calls] == ["search", "search", "calculate"]
    assert [call.id for call in calls] == [f"functions.{call.name}:{at}" for at, call in enumerate(calls)]
    found = {result.for_model for result in stage.kept.results.values()}
    assert found == {*DOCUMENTS, "57"}
    assert {"1874", "1931"} <= set(re.findall(r"\d+", json.loads(calls[2].arguments)["expression"]))
    assert "57" in stage.heard.text_of("content")
