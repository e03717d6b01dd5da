"""What must last of a turn: the port between the loop and whatever keeps it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from agents.budget import Grant
from agents.steps.reply import Reply
from agents.tool import Intent, ToolResult, Waiting
from agents.transcript import Note
from inference.schema import ChatRequest, Usage


class BudgetExhausted(Exception):
    """There is no money for another model call; the text is for the person."""


class TurnStore(Protocol):
    """Each method that saves commits before it returns. What it raises once another worker has taken over
    passes through the loop, which then writes nothing more."""

    async def reserve(self, request: ChatRequest, *, spent: Usage) -> Grant:
        """Set money aside for this call, out of the turn's own hold and of the budget it shares with its
        agents. Raises BudgetExhausted."""
        ...

    async def spent_by_agents(self) -> int:
        """What the turn's agents have cost so far, which counts against its own limit."""
        ...

    async def save_reply(self, reply: Reply, intents: Sequence[Intent]) -> None:
        """Keep the reply, and with it the intents to run its calls."""
        ...

    async def save_aside(self, reply: Reply) -> None:
        """Keep what a call on the side used: its reply goes to whoever asked, and may be lost with them."""
        ...

    async def begin(self, intent: Intent) -> None:
        """Note that an external effect may happen from here on."""
        ...

    async def save_result(
        self, intent: Intent, result: ToolResult, *, duration_ms: int, first_passage: int
    ) -> None:
        """Keep what the call brought: with it its notes, its artifacts and its passages, numbered from
        `first_passage`."""
        ...

    async def save_waiting(self, intent: Intent, waiting: Waiting) -> datetime | None:
        """Keep what the call waits for, and until when: what is said first stays, and so does a decision made
        meanwhile. The decision comes with the next segment's intents."""
        ...

    async def save_note(self, note: Note) -> None:
        """Keep the note behind what is there of its step."""
        ...

    async def heard(self, *, step: int) -> Sequence[Note]:
        """The notes that others have put down since they were last asked for; they stand behind this step,
        the last one, from now on."""
        ...
