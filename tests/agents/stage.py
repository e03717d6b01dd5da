"""What the loop runs on in a test: a scripted backend, a store in memory, a listener that remembers."""

from dataclasses import dataclass, field
from typing import Any

from agents.happenings import Happening
from agents.limits import Limits
from agents.loop import BudgetExhausted, Outcome, Patience, Progress, Setting, drive
from agents.reply import Reply
from agents.stopping import StopSignal
from agents.tool import Tool, ToolResult
from agents.tools.calculate import Calculate
from agents.toolset import Toolset
from inference.backends.base import ChatBackend
from inference.backends.scripted import Reply as Line
from inference.backends.scripted import Script, ScriptedBackend
from inference.schema import ChatMessage, ChatRequest, Role, ToolCall, Usage

BRIEF = Patience(max_tries=3, max_seconds=1, poll_seconds=0.01)
WIDE = Limits(max_steps=50, max_seconds=60, max_reasoning_tokens=1_000, max_output_tokens=100_000)


class Heard:
    """A listener: everything emitted, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    @property
    def kinds(self) -> list[str]:
        return [event[0] for event in self.events]

    def text_of(self, kind: str) -> str:
        return "".join(event[2] for event in self.events if event[0] == kind)

    async def step_started(self, step: int) -> None:
        self.events.append(("step", step))

    async def reasoning(self, step: int, text: str) -> None:
        self.events.append(("reasoning", step, text))

    async def reasoning_finished(self, step: int, *, duration_ms: int, num_tokens: int) -> None:
        self.events.append(("reasoning finished", step))

    async def content(self, step: int, text: str) -> None:
        self.events.append(("content", step, text))

    async def tool_call_started(self, step: int, call: ToolCall) -> None:
        self.events.append(("call", step, call.id))

    async def tool_call_finished(
        self, step: int, call: ToolCall, result: ToolResult, *, duration_ms: int
    ) -> None:
        self.events.append(("result", step, call.id, result.for_model))

    async def happened(self, event: Happening) -> None:
        self.events.append(("happened", event))


@dataclass
class Kept:
    """A store: what would have been committed."""

    budget: int = 10**9
    requests: list[ChatRequest] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    results: dict[tuple[int, int], ToolResult] = field(default_factory=dict)

    async def reserve(self, request: ChatRequest, *, spent: Usage) -> None:
        self.requests.append(request)
        if spent.output_tokens > self.budget:
            raise BudgetExhausted("The account is empty.")

    async def save_reply(self, reply: Reply) -> None:
        self.replies.append(reply)

    async def save_result(
        self, step: int, index: int, call: ToolCall, result: ToolResult, *, duration_ms: int
    ) -> None:
        assert (step, index) not in self.results, "a result is kept once"
        self.results[step, index] = result


class Stage:
    def __init__(
        self,
        *lines: str | Line,
        tools: list[Tool] | None = None,
        limits: Limits = WIDE,
        backend: ChatBackend | None = None,
        patience: Patience = BRIEF,
    ) -> None:
        self.heard = Heard()
        self.kept = Kept()
        self.stop = StopSignal()
        self.progress = Progress(messages=[ChatMessage(role=Role.USER, content="What is it?")])
        replies = tuple(line for line in lines if isinstance(line, Line))
        script = Script(replies=replies) if replies else Script.of(*(str(line) for line in lines))
        self.setting = Setting(
            turn_id="turn",
            model="scripted",
            tenant="",
            backend=backend or ScriptedBackend(script),
            toolset=Toolset(tools if tools is not None else [Calculate()]),
            limits=limits,
            thinks=True,
            reply_tokens=1_000,
            emit=self.heard,
            store=self.kept,
            stop=self.stop,
            cost_nano=lambda usage: usage.output_tokens,
            count_tokens=lambda text: len(text.split()),
            patience=patience,
        )

    async def drive(self, *, max_steps: int = 100, until: float = float("inf")) -> Outcome | None:
        return await drive(self.setting, self.progress, max_steps=max_steps, until=until)
