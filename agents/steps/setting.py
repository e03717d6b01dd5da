"""What stays the same during a turn: the model, the tools, the limits, and who keeps, hears and helps."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import msgspec

from agents.limits import Limits
from agents.notebook import Notebook
from agents.steps.asking import Ask
from agents.steps.reply import Listener
from agents.steps.stopping import StopSignal
from agents.store import TurnStore
from agents.teams.conductor import Conductor
from agents.tooling.exposure import Opening
from agents.tooling.toolset import Toolset
from agents.transcript import Note, Transcript
from inference.backends.base import ChatBackend
from inference.schema import Usage

WINDOW_OF_NO_END = 10**9


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a model call that fails is tried again. A backend that wants to be left alone for longer has
    the turn parked."""

    max_tries: int = 5
    max_seconds: float = 60.0
    poll_seconds: float = 0.25


class Verifier(Protocol):
    async def check(self, transcript: Transcript, *, ask: Ask, may_revise: bool) -> Note | None:
        """What is wrong with the answer that the transcript ends with, as a CHECK note that is yet to be
        kept; None: there is nothing to check."""
        ...


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`context_tokens` is the model's window. `guard`, `conductor`, `verifier` and `notebook` may be left
    out: then nobody advises, leads, checks or takes notes. `asking` is held during a call on the side: money
    is set aside for one at a time."""

    turn_id: str
    model: str
    tenant: str
    backend: ChatBackend
    toolset: Toolset
    limits: Limits
    thinks: bool
    reply_tokens: int
    emit: Listener
    store: TurnStore
    stop: StopSignal
    cost_nano: Callable[[Usage], int]
    count_tokens: Callable[[str], int]
    context_tokens: int = WINDOW_OF_NO_END
    patience: Patience = Patience()
    seed: int | None = None
    top_turn_id: str = ""
    opening: Opening = Opening()
    guard: Callable[[Transcript], Note | None] | None = None
    conductor: Conductor | None = None
    verifier: Verifier | None = None
    notebook: Notebook | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @cached_property
    def overhead_tokens(self) -> int:
        """What the tools' descriptions take of the model's window."""
        return sum(self.count_tokens(msgspec.json.encode(spec).decode()) for spec in self.toolset.specs)
