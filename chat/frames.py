"""What passes between a browser and the chat over the websocket. Wire types only: no Django, no Redis.

A frame to the server is a command; a frame to the browser is either an event of a turn's log, with the turn's
id and its dense sequence number, or a reply to a command, with neither. Events that are there at the same
time come together, in a list.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from agents import happenings

MAX_FRAME_BYTES = 2_000_000
BYTES_TOGETHER = 32_768


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits a person set for one turn; None takes the preset of the effort or, with `published`, that of one
    of the evaluations whose limits were published (agents.limits.PUBLISHED)."""

    published: Literal["exam", "search"] | None = None
    max_steps: int | None = None
    max_seconds: int | None = None
    max_reasoning_tokens: int | None = None
    max_cost: str | None = None
    max_total_tokens: int | None = None
    max_sandbox_seconds: int | None = None
    max_fetched_bytes: int | None = None
    max_calls_per_tool: dict[str, int] | None = None


class Granted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tool may be called without the person being asked, where the named arguments have these values."""

    tool: str
    arguments: dict[str, Any] = {}


class ToolTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On which terms a turn uses tools. `is_fresh`: nothing that was found before is used again.
    `is_quarantined`: pages are read by another call of the model, which answers questions about them. `only`:
    no tools but these."""

    is_fresh: bool = False
    is_quarantined: bool = False
    granted: list[Granted] = []
    only: list[str] | None = None


# ---- browser → server


class TurnSend(msgspec.Struct, frozen=True, tag_field="op", tag="turn.send"):
    """Start a turn. `client_id` makes a resend harmless; `conversation` None opens one; with `is_branch` the
    turn hangs on `parent` (null: the root) beside what is there already, else on the leaf of the branch on
    show. `attachments` are ids of uploaded files, `preset` is one of the person's, for this
    turn and those after it, "none" drops the chat's. `is_temporary` of a chat that is opened: nothing of it
    stays."""

    client_id: str
    text: str
    model: str
    conversation: str | None = None
    parent: str | None = None
    is_branch: bool = False
    long_thinking: bool = False
    effort: Literal["auto", "low", "high", "heavy"] = "auto"
    limits: Limits = Limits()
    team: str = ""
    plan_needs_approval: bool = False
    tools: ToolTerms = ToolTerms()
    attachments: list[str] = []
    preset: str = ""
    is_temporary: bool = False


class TurnAttach(msgspec.Struct, frozen=True, tag_field="op", tag="turn.attach"):
    """Send every event of the turn after `after`, then the ones to come."""

    turn: str
    after: int = 0


class TurnStop(msgspec.Struct, frozen=True, tag_field="op", tag="turn.stop"):
    turn: str


class TurnRegenerate(msgspec.Struct, frozen=True, tag_field="op", tag="turn.regenerate"):
    """Answer the same user message again, as a sibling branch."""

    turn: str
    client_id: str


class TurnContinue(msgspec.Struct, frozen=True, tag_field="op", tag="turn.continue"):
    """Go on with a turn that a limit ended, in a turn that hangs on it: with so many more steps, seconds, so
    much more money, or as much again as it had. `answers`: it has one reply, its answer."""

    turn: str
    client_id: str
    steps: int | None = None
    seconds: int | None = None
    cost: str | None = None
    answers: bool = False


class CallDecide(msgspec.Struct, frozen=True, tag_field="op", tag="call.decide"):
    """What the person says to a waiting call. `arguments`, the text the call was shown with, proves what was
    decided on; with `edited`, other arguments take their place. `answer` is what the person wrote."""

    turn: str
    call: str
    decision: Literal["approved", "refused", "answered", "happened"]
    arguments: str = ""
    edited: str | None = None
    answer: str = ""


class PlanEdit(msgspec.Struct, frozen=True, tag_field="op", tag="plan.edit"):
    """The person's plan in place of the turn's; the model is told at its next step."""

    turn: str
    items: list[happenings.PlanLine]


class Ping(msgspec.Struct, frozen=True, tag_field="op", tag="ping"):
    """`watching` is the conversation that somebody has in view on this page."""

    watching: str | None = None


Command = TurnSend | TurnAttach | TurnStop | TurnRegenerate | TurnContinue | CallDecide | PlanEdit | Ping

# ---- server → browser: replies, no sequence number


class TurnAccepted(msgspec.Struct, frozen=True, tag_field="type", tag="turn.accepted"):
    """The turn exists and its money is held: the browser attaches to it and may forget the draft. `parent` is
    the turn it hangs on, which another page may have started."""

    client_id: str
    conversation: str
    turn: str
    parent: str | None


class Refused(msgspec.Struct, frozen=True, tag_field="type", tag="refused"):
    """A command was not carried out, and why; nothing was changed. `code` is stable, `message` is for the
    person."""

    code: str
    message: str
    client_id: str | None = None
    turn: str | None = None


class Pong(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    pass


# ---- server → browser: events of a turn's log. Each is stored and sent with `turn` and `seq`.


class TurnStarted(msgspec.Struct, frozen=True, tag_field="type", tag="turn.started"):
    """First event. `at_ms` is the server's clock, which the page counts its timers from."""

    at_ms: int


class StepStarted(msgspec.Struct, frozen=True, tag_field="type", tag="step.started"):
    """A model call begins. Anything shown of this step or a later one is void: its worker died and the call
    is made again."""

    step: int
    at_ms: int


class ReasoningPiece(msgspec.Struct, frozen=True, tag_field="type", tag="reasoning.delta"):
    step: int
    text: str


class ReasoningFinished(msgspec.Struct, frozen=True, tag_field="type", tag="reasoning.finished"):
    """Once per step that reasoned, before its content. `num_tokens` is the backend's count, or an estimate
    while it has none."""

    step: int
    duration_ms: int
    num_tokens: int


class ContentPiece(msgspec.Struct, frozen=True, tag_field="type", tag="content.delta"):
    step: int
    text: str


class ToolCallStarted(msgspec.Struct, frozen=True, tag_field="type", tag="tool_call.started"):
    step: int
    id: str
    name: str
    arguments: str


class ToolCallFinished(msgspec.Struct, frozen=True, tag_field="type", tag="tool_call.finished"):
    step: int
    id: str
    result: str
    is_error: bool
    duration_ms: int
    is_cached: bool = False
    num_files: int = 0  # that it left


class TurnFinished(msgspec.Struct, frozen=True, tag_field="type", tag="turn.finished"):
    """Last event of a turn. `error` says what happened and what to do when the reason is `error` or
    `cancelled`; `text_sha256` is of the answer's text (the content of every step, joined), so that a page can
    prove it shows all of it. The page then fetches the turn's fragment for tokens, cost and actions."""

    finish_reason: str
    error: str
    text_sha256: str


PlainEvent = (
    TurnStarted
    | StepStarted
    | ReasoningPiece
    | ReasoningFinished
    | ContentPiece
    | ToolCallStarted
    | ToolCallFinished
    | TurnFinished
    | happenings.NoteAdded
    | happenings.PlanChanged
    | happenings.TurnWaiting
    | happenings.TurnResumed
    | happenings.AgentStarted
    | happenings.AgentFinished
    | happenings.ModelAwaited
)


class TurnSnapshot(msgspec.Struct, frozen=True, tag_field="type", tag="turn.snapshot"):
    """The whole turn as it stands at this sequence number, as the shortest list of events that shows it:
    clear what is shown of the turn, apply these, and go on from here. Sent when the log cannot bridge the
    reader's gap."""

    events: list[PlainEvent]


Event = PlainEvent | TurnSnapshot


def together(entries: Sequence[bytes]) -> Iterator[str]:
    """The frames that carry these events: alone as it is, several as a list. No list is longer than 32 kB; an
    event that is, comes alone."""
    batch: list[bytes] = []
    size = 0
    for entry in entries:
        if batch and size + len(entry) > BYTES_TOGETHER:
            yield _frame(batch)
            batch, size = [], 0
        batch.append(entry)
        size += len(entry) + 1
    if batch:
        yield _frame(batch)


def _frame(batch: list[bytes]) -> str:
    return batch[0].decode() if len(batch) == 1 else f"[{b','.join(batch).decode()}]"
