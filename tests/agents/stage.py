"""What the loop runs on in a test: a scripted backend, a store in memory, a listener that remembers."""

from typing import Any

from agents.happenings import Happening
from agents.limits import Limits
from agents.memory_store import MemoryStore
from agents.steps.loop import End, drive
from agents.steps.progress import Progress
from agents.steps.setting import Patience, Setting
from agents.steps.stopping import StopSignal
from agents.tool import Tool, ToolResult
from agents.tooling.toolset import Toolset
from agents.tools.calculate import Calculate
from inference.backends.base import ChatBackend
from inference.backends.scripted import Reply as Line
from inference.backends.scripted import Script, ScriptedBackend
from inference.schema import ChatMessage, Role, ToolCall

BRIEF = Patience(max_tries=3, max_seconds=1, poll_seconds=0.01)
WIDE = Limits(max_steps=50, max_seconds=60, max_reasoning_tokens=1_000, max_output_tokens=100_000)
QUESTION = ChatMessage(role=Role.USER, content="What is it?")


class Heard:
    """A listener: everything emitted, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    @property
    def kinds(self) -> list[str]:
        return [event[0] for event in self.events]

    def text_of(self, kind: str) -> str:
        return "".join(event[2] for event in self.events if event[0] == kind)

    def happened_of(self, kind: type[Happening]) -> list[Any]:
        return [event[1] for event in self.events if event[0] == "happened" and isinstance(event[1], kind)]

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


class Stage:
    def __init__(
        self,
        *lines: str | Line,
        tools: list[Tool] | None = None,
        limits: Limits = WIDE,
        backend: ChatBackend | None = None,
        patience: Patience = BRIEF,
        store: MemoryStore | None = None,
        opening: tuple[ChatMessage, ...] = (QUESTION,),
        **setting: Any,
    ) -> None:
        self.heard = Heard()
        self.kept = store or MemoryStore()
        self.stop = StopSignal()
        self.opening = opening
        self.progress: Progress = self.kept.progress(opening)
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
            **setting,
        )

    def take_over(self) -> None:
        """Go on as another worker would: from what is kept, with nothing else known."""
        self.progress = self.kept.progress(self.opening)

    async def drive(self, *, max_steps: int = 100, until: float = float("inf")) -> End | None:
        return await drive(self.setting, self.progress, max_steps=max_steps, until=until)

    def results(self, step: int) -> list[ToolResult]:
        """What the calls of this step brought, in their order."""
        intents = [intent for intent in self.kept.intents.values() if intent.step == step]
        return [self.kept.results[intent.key] for intent in intents if intent.key in self.kept.results]
