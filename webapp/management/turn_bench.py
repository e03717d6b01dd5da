"""What the platform adds to a step of a turn: a real turn on a real database and a real Redis, with a model
that answers at once and a tool that returns 2,000 characters."""

import os
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import psutil
from django.db import connection, transaction

from agents import custom_tools
from agents.limits import Limits
from agents.tool import ToolContext, ToolResult, Traits
from chat import own_loop, segment, turns
from chat.models import Turn
from chat.turns import Question
from inference.schema import (
    ChatDelta,
    ChatRequest,
    ContentDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from webapp.accounts.models import User
from webapp.billing import seeds
from webapp.catalog import backends
from webapp.catalog.models import ServedModel

RESULT_CHARS = 2_000
REASONING = ("The next page ", "may hold ", "what is missing ", "so far.")
USAGE = Usage(input_uncached_tokens=100, output_tokens=20, reasoning_tokens=10)
WINDOW = 100_000_000
WARM_UP_STEPS = 60


@dataclass(frozen=True)
class Measured:
    """`seconds` from the start of each model call to that of the next."""

    seconds: list[float]
    state_bytes: int
    memory_growth_bytes: int
    database: str


class Look:
    """A page of text, another for each number."""

    spec = ToolSpec(
        name="look",
        description="Look at a page.",
        parameters={
            "type": "object",
            "properties": {"page": {"type": "integer"}},
            "required": ["page"],
            "additionalProperties": False,
        },
    )
    traits = Traits()

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        words = f"page {arguments['page']} says a little more than the one before it. "
        return ToolResult(for_model=(words * RESULT_CHARS)[:RESULT_CHARS])


@dataclass
class PromptModel:
    """A `ChatBackend` without latency: so many calls of `look`, then an answer."""

    num_steps: int
    began_at: list[float] = field(default_factory=list)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self.began_at.append(time.perf_counter())
        step = len(self.began_at)
        for piece in REASONING:
            yield ReasoningDelta(piece)
        if step > self.num_steps:
            yield ContentDelta("Done.")
            yield Finished(reason=FinishReason.STOP, usage=USAGE)
            return
        yield ToolCallDelta(index=0, id=f"functions.look:{step - 1}", name="look")
        yield ToolCallDelta(index=0, arguments=f'{{"page": {step}}}')
        yield Finished(reason=FinishReason.TOOL_CALLS, usage=USAGE)

    async def is_ready(self) -> bool:
        return True

    async def aclose(self) -> None:
        """Nothing is held open."""


def measure(num_steps: int) -> Measured:
    """One turn, segment after segment as Celery would drive it, in a worker that has driven one before."""
    _measure(WARM_UP_STEPS)
    return _measure(num_steps)


def _measure(num_steps: int) -> Measured:
    turn = _turn(num_steps)
    backend = PromptModel(num_steps)
    bytes_before, memory_before = _database_bytes(), _memory()
    with _played_by(backend):
        while own_loop.run(segment.drive(turn.id)):
            pass  # a ring
    turn.refresh_from_db()
    if turn.finish_reason != FinishReason.STOP:
        raise RuntimeError(f"the turn ended with {turn.finish_reason}: {turn.error}")
    starts = backend.began_at
    return Measured(
        seconds=[after - before for before, after in zip(starts, starts[1:], strict=False)],
        state_bytes=_database_bytes() - bytes_before,
        memory_growth_bytes=max(_memory() - memory_before, 0),
        database=connection.vendor,
    )


@contextmanager
def _played_by(backend: PromptModel) -> Iterator[None]:
    """The model and the tool of the bench stand where those of an operator would."""
    with (
        patch.object(backends, "backend_for", lambda _model: backend),
        patch.object(custom_tools, "installed", lambda: (Look(),)),
    ):
        yield


def _turn(num_steps: int) -> Turn:
    user, _ = User.objects.get_or_create(username="bench", defaults={"email": "bench@example.com"})
    model, _ = ServedModel.objects.update_or_create(
        name="bench",
        defaults={
            "label": "Bench",
            "backend": ServedModel.Backend.SCRIPTED,
            "upstream_name": "bench",
            "context_tokens": WINDOW,
            "max_output_tokens": 8_192,
            "calls_tools": True,
            "thinks": True,
        },
    )
    seeds.seed()
    bounds = Limits(
        max_steps=num_steps + 1, max_seconds=86_400, max_reasoning_tokens=1_000, max_output_tokens=10**9
    )
    question = Question(
        text="Look at every page.",
        model=model,
        client_id=uuid4(),
        long_thinking=True,
        effort=Turn.Effort.LOW,
        limits=bounds,
    )
    with transaction.atomic():
        conversation = turns.open_conversation(user, conversation_id=uuid4(), text=question.text)
        return turns.start(conversation, question, parent=None, tools=())


def _memory() -> int:
    return int(psutil.Process(os.getpid()).memory_info().rss)


def _database_bytes() -> int:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return Path(str(connection.settings_dict["NAME"])).stat().st_size
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])
