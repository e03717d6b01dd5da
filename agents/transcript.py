"""A turn as it has gone so far: steps and notes, append-only. What the model is shown is made from it by
`agents.context`; nothing here is ever taken back."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agents.tool import ToolResult
from inference.schema import ChatMessage, ToolCall


class NoteKind(StrEnum):
    """What a note of the platform is about; in brackets what its `data` holds.

    BUDGET   a limit is near or reached {limit, share}
    GUARD    calls repeat {level, tool, times}
    HIDDEN   results of old steps leave the view {through_step}
    HANDOFF  the steps so far leave the view; `text` stands for them {through_step, own: where in the text the
             model's own words are}
    ROLLBACK steps after `to_step` leave the view; `text` is the lesson {to_step, snapshot, phase}
    CHECK    the answer of this step was checked {must_revise, sentences: [...]}
    TEAM     what the turn's agents brought {...}
    PLAN     the person changed or approved the plan {}
    STEER    the person said something to the turn under way {said}
    """

    BUDGET = "budget"
    GUARD = "guard"
    HIDDEN = "hidden"
    HANDOFF = "handoff"
    ROLLBACK = "rollback"
    CHECK = "check"
    TEAM = "team"
    PLAN = "plan"
    STEER = "steer"


@dataclass(frozen=True, kw_only=True)
class Note:
    """A word of the platform after step `step` (0: before the first). The model reads `text`, where there is
    one, as a user message."""

    step: int
    kind: NoteKind
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class CallRecord:
    """A call and, once it has one, its result. `num_tokens` of the result as the model reads it,
    estimated."""

    call: ToolCall
    key: str
    result: ToolResult | None = None
    duration_ms: int = 0
    num_tokens: int = 0


@dataclass(kw_only=True)
class Step:
    """One model call and what its tool calls brought. `num_tokens` of the reply, estimated."""

    number: int
    reasoning: str
    content: str
    calls: list[CallRecord]
    num_tokens: int = 0


@dataclass(kw_only=True)
class Transcript:
    """`opening`: system prompt, earlier turns, this turn's question. Steps and notes in the order they
    happened; a note stands after its step's results. Both are only ever appended to: `derived` holds what
    readers have worked out of them so far, each under its own type, and may be thrown away at any time."""

    opening: tuple[ChatMessage, ...]
    steps: list[Step] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    derived: dict[type, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def calls(self) -> Iterator[CallRecord]:
        for step in self.steps:
            yield from step.calls

    def notes_after(self, step: int) -> Iterator[Note]:
        return (note for note in self.notes if note.step == step)

    def last(self, kind: NoteKind) -> Note | None:
        return next((note for note in reversed(self.notes) if note.kind is kind), None)
