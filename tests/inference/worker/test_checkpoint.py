"""A checkpoint's folder of Kimi's shape, with random weights, from a request to valid calls."""

import json
from pathlib import Path

import jsonschema
import pytest

from inference import engine as engines
from inference.checkpoints import random_model
from inference.engine import Engine
from inference.schema import (
    ChatDelta,
    ChatMessage,
    ChatRequest,
    Finished,
    FinishReason,
    Role,
    Sampling,
    Thinking,
    ToolCallDelta,
    ToolSpec,
)
from inference.tokenizer.tokenizer import Tokenizer
from inference.worker.answer import Answer
from tests.inference.conftest import write_tiny_kimi

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Oslo", "Rom"]},
        "days": {"type": "integer", "maximum": 99, "minimum": 0},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER = ToolSpec(name="get_weather", description="", parameters=SCHEMA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("k2") / "model"
    random_model.write(path, random_model.k2_like(), stored="int4")
    write_tiny_kimi(path)
    return path


def run(engine: Engine, answer: Answer) -> list[ChatDelta]:
    engine.add(answer.sequence)
    deltas: list[ChatDelta] = []
    while not (deltas and isinstance(deltas[-1], Finished)):
        for output in engine.step():
            deltas += answer.feed(output)
    return deltas


def test_a_forced_call_is_valid_whatever_the_weights(folder: Path) -> None:
    engine = engines.load(folder, on_progress=lambda share: None, max_context_tokens=1024, num_threads=1)
    tokenizer = Tokenizer.open(folder)
    for seed in range(3):
        request = ChatRequest(
            id=f"call-{seed}",
            model="",
            messages=(ChatMessage(role=Role.USER, content="How is the weather?"),),
            tools=(WEATHER,),
            tool_choice="required",
            thinking=Thinking(enabled=True, budget_tokens=10),
            sampling=Sampling(seed=seed, max_tokens=700, logprobs=1),
        )
        deltas = run(engine, Answer(request, tokenizer=tokenizer, context_tokens=1024))
        calls: dict[int, str] = {}
        for delta in deltas:
            if isinstance(delta, ToolCallDelta):
                assert delta.name in ("get_weather", "")
                calls[delta.index] = calls.get(delta.index, "") + delta.arguments
        end = deltas[-1]
        assert isinstance(end, Finished)
        assert calls, end
        if end.reason is FinishReason.LENGTH:
            calls.popitem()  # the last one was cut; random weights call on and on
        for arguments in calls.values():
            jsonschema.validate(json.loads(arguments), SCHEMA)
        assert 10 <= end.usage.reasoning_tokens <= 13, "the budget and its closing mark"
