# mypy: ignore-errors
# Its libraries are installed in the peers' environment only.
"""The OpenAI Agents SDK with its SQLite session, driving the same task as ours. Runs in the peers' own
environment: `python in_openai_agents.py STEPS` prints one JSON line; knows nothing of this project."""

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any

from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from agents import (
    Agent,
    Model,
    ModelResponse,
    Runner,
    SQLiteSession,
    Usage,
    function_tool,
    set_tracing_disabled,
)

RESULT = "0123456789" * 200


class Scripted(Model):
    """Calls the tool `num_steps` times, then answers."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self.times: list[float] = []

    async def get_response(self, *_: Any, **__: Any) -> ModelResponse:
        self.times.append(time.perf_counter())
        number = len(self.times)
        return ModelResponse(output=[self._output(number)], usage=Usage(), response_id=None)

    def _output(self, number: int) -> ResponseFunctionToolCall | ResponseOutputMessage:
        if number > self.num_steps:
            text = ResponseOutputText(text="The answer.", type="output_text", annotations=[])
            return ResponseOutputMessage(
                id="answer", content=[text], role="assistant", status="completed", type="message"
            )
        return ResponseFunctionToolCall(
            name="look_up",
            arguments=json.dumps({"number": number}),
            call_id=f"call_{number}",
            type="function_call",
        )

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise RuntimeError("the comparison runs without streaming, which is cheaper")


@function_tool
def look_up(number: int) -> str:
    """Look up a number."""
    return RESULT


async def run(num_steps: int) -> dict[str, Any]:
    """Seconds of each step, bytes stored, growth of memory."""
    set_tracing_disabled(True)
    model = Scripted(num_steps)
    agent = Agent(name="agent", model=model, tools=[look_up])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "state.sqlite")
        session = SQLiteSession("1", path)
        memory_before = _memory_bytes()
        await Runner.run(agent, "What is it?", session=session, max_turns=num_steps + 5)
        session.close()
        state_bytes = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
    return {
        "seconds": [after - before for before, after in zip(model.times, model.times[1:], strict=False)],
        "state_bytes": state_bytes,
        "memory_growth_bytes": _memory_bytes() - memory_before,
    }


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(run(int(sys.argv[1])))) + "\n")
