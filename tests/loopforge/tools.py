"""Tools whose effects differ, and tools that misbehave, as an operator would add them: by an entry point of
the group `agents.tools`.

Each attempt and each effect is written in the ledger; a result depends on the arguments alone.
"""

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.tool import Approval, Effect, Tool, ToolContext, ToolResult, Traits
from inference.schema import ToolSpec
from tests.loopforge.ledger import Ledger

DELAY_MS = "FORGE_TOOL_MS"
RESULT_CHARS = 400
FLOOD_CHARS = 2_000_000
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "maxLength": 40}, "number": {"type": "integer"}},
    "required": ["word", "number"],
    "additionalProperties": False,
}


def spec(name: str, description: str) -> ToolSpec:
    return ToolSpec(name=name, description=description, parameters=SCHEMA)


def result_of(name: str, arguments: Mapping[str, Any]) -> str:
    """What a call brings: the same whenever and wherever it is run."""
    seed = f"{name} {arguments['word']} {arguments['number']}"
    line = hashlib.sha256(seed.encode()).hexdigest()
    return f"{seed}: {line * (RESULT_CHARS // len(line))}"


class Ledgered:
    """A tool that takes a moment before and after its effect, so that it may die in between."""

    def __init__(
        self, name: str, traits: Traits, *, has_effect: bool = True, description: str = "Writes it down."
    ) -> None:
        self.spec = spec(name, description)
        self.traits = traits
        self._has_effect = has_effect
        self._once = traits.is_idempotent

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        ledger, name = Ledger.of_environment(), self.spec.name
        ledger.note_attempt(name, context.key)
        await _moment()
        text = result_of(name, arguments)
        if self._has_effect:
            ledger.note_effect(name, context.key, text, once=self._once)
            await _moment()
        return ToolResult(for_model=text)


class Reconciled(Ledgered):
    """Not idempotent, but it can be asked whether a run happened."""

    async def reconcile(self, context: ToolContext) -> ToolResult | None:
        text = Ledger.of_environment().result_of(context.key)
        return None if text is None else ToolResult(for_model=text)


class Hanging:
    """Never returns. Its attempt is in the ledger, and its end, where it was told of one."""

    def __init__(self, name: str, timeout_s: float = 60.0) -> None:
        self.spec = spec(name, "Waits for something that never comes.")
        self.traits = Traits(timeout_s=timeout_s)

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        ledger = Ledger.of_environment()
        ledger.note_attempt(self.spec.name, context.key)
        try:
            await asyncio.Event().wait()
        finally:
            ledger.note_effect(self.spec.name, context.key, "ended", once=False)
        raise AssertionError("it never comes")


class Flooding:
    spec = spec("flood", "Brings two megabytes.")
    traits = Traits()

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        line = f"{result_of('flood', arguments)}\n"
        return ToolResult(for_model=line * (FLOOD_CHARS // len(line)))


class Stumbling:
    """Fails in its first `times` calls of a turn with the same arguments, then works."""

    spec = spec("stumble", "Works when it is asked often enough.")
    traits = Traits()

    def __init__(self, times: int = 2) -> None:
        self._times = times

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        asked = f"{context.turn_id} {arguments['word']} {arguments['number']}"
        if Ledger.of_environment().note_attempt("stumble", asked) <= self._times:
            raise RuntimeError("stumbled")
        return ToolResult(for_model=result_of("stumble", arguments))


EFFECTS: tuple[Tool, ...] = (
    Ledgered("look", Traits(), has_effect=False, description="Looks it up."),
    Ledgered("keep", Traits(effect=Effect.LOCAL), has_effect=False, description="Keeps it for the turn."),
    Ledgered("order", Traits(effect=Effect.EXTERNAL, is_idempotent=True), description="Orders it, once."),
    Reconciled("post", Traits(effect=Effect.EXTERNAL), description="Posts it; a post can be looked up."),
)
OTHERS: tuple[Tool, ...] = (
    Ledgered("pay", Traits(effect=Effect.EXTERNAL), description="Pays for it."),
    Ledgered(
        "publish",
        Traits(effect=Effect.EXTERNAL, is_idempotent=True, approval=Approval.ALWAYS),
        description="Publishes it, once a person agrees.",
    ),
    Hanging("hang"),
    Hanging("hang_briefly", timeout_s=1.0),
    Flooding(),
    Stumbling(),
)
ALL = (*EFFECTS, *OTHERS)


def install(folder: Path) -> None:
    """Register the tools in `folder`, which is then to stand on PYTHONPATH: what pip does for a package."""
    info = folder / "loopforge_tools-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loopforge-tools\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[agents.tools]\nloopforge = tests.loopforge.tools:ALL\n")


async def _moment() -> None:
    await asyncio.sleep(float(os.environ.get(DELAY_MS, "3")) / 1000)
