"""What a tool is: what the model is told of it, what it may do to the world, and what a call of it brings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from agents.happenings import Happening
from inference.schema import ToolSpec

MAX_RESULT_CHARS = 32_000
TOOL_TIMEOUT_S = 60.0


class Effect(StrEnum):
    """What a call may change. After a crash NONE and LOCAL are run again; EXTERNAL only where the same key
    twice is one effect, else a person is asked."""

    NONE = "none"
    LOCAL = "local"  # rows and files of the turn itself
    EXTERNAL = "external"


class Trust(StrEnum):
    """Where a result's text comes from, from the most trusted to the least."""

    OPERATOR = "operator"
    USER = "user"
    FACTS = "facts"
    AGENT = "agent"
    DOCUMENT = "document"  # what people have uploaded, which others may have written
    MCP = "mcp"
    WEB = "web"

    @property
    def is_trusted(self) -> bool:
        """False for text that a stranger may have written: orders in it are not to be followed."""
        return self in (Trust.OPERATOR, Trust.USER, Trust.FACTS)


def least_trusted(first: Trust, *others: Trust) -> Trust:
    return max((first, *others), key=list(Trust).index)


class Approval(StrEnum):
    """When a person is asked before a call is run."""

    NEVER = "never"
    UNTRUSTED_CONTEXT = "untrusted"  # once untrusted text is in the model's view
    ALWAYS = "always"


class Scope(StrEnum):
    """Among whom a cached result is shared."""

    TURN = "turn"  # and the agents of the turn
    USER = "user"
    EVERYBODY = "everybody"


@dataclass(frozen=True, kw_only=True)
class Caching:
    """How long and among whom a result is kept. `vary` is what the result depends on besides its arguments:
    the version of an index, a locale, a safety setting. For tools of Effect.NONE only."""

    ttl_s: float
    scope: Scope = Scope.USER
    vary: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What the platform must know of a tool to run it rightly.

    `is_idempotent`: a second run under the same key changes nothing more. A result longer than
    `max_result_chars` is cut for the model and kept whole as an artifact.
    """

    version: str = "1"
    effect: Effect = Effect.NONE
    is_idempotent: bool = False
    trust: Trust = Trust.OPERATOR
    approval: Approval = Approval.NEVER
    caching: Caching | None = None
    timeout_s: float = TOOL_TIMEOUT_S
    max_result_chars: int = MAX_RESULT_CHARS


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """Whose call it is. `key` is the same when a call is run again after a crash, so that no effect happens
    twice. `tenant` is the user's id. An agent's `top_turn_id` is the turn that it works for. `decided` is a
    person's word, of a call that waited for one. `is_fresh`: what was found before this turn is not used.

    What the model had read: `trust` is the least trusted of it, `known_urls` those that no model has made up,
    `opened_urls` those that it asked for, `told_bits` what those that it made up have told, and its choices
    (agents.tooling.exposure).
    """

    key: str
    turn_id: str = ""
    top_turn_id: str = ""
    step: int = 0
    call_id: str = ""
    tenant: str = ""
    trust: Trust = Trust.USER
    known_urls: frozenset[str] = frozenset()
    opened_urls: frozenset[str] = frozenset()
    told_bits: float = 0.0
    is_fresh: bool = False
    decided: "Decided | None" = None


@dataclass(frozen=True, kw_only=True)
class NewPassage:
    """A piece of a source, as the tool found it at `fetched_at`; it becomes a numbered passage of the
    turn."""

    source: str
    title: str
    text: str
    fetched_at: datetime


@dataclass(frozen=True, kw_only=True)
class NewArtifact:
    name: str
    text: str
    media_type: str = "text/plain"


@dataclass(frozen=True, kw_only=True)
class ToolUsage:
    """What a call used. Money in nano-units of the account's currency."""

    sandbox_ms: int = 0
    fetched_bytes: int = 0
    cost_nano: int = 0


@dataclass(frozen=True, kw_only=True)
class NewNote:
    """A note of the platform that a call brings, `kind` being one of agents.transcript.NoteKind: it is kept
    together with the result and stands behind it."""

    kind: str
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Fault(StrEnum):
    """Why a result is an error."""

    UNKNOWN_TOOL = "unknown_tool"
    BAD_ARGUMENTS = "bad_arguments"
    TIMEOUT = "timeout"
    REFUSED = "refused"  # by a person, a policy or a limit
    INTERRUPTED = "interrupted"  # nobody can know whether it happened
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """`for_user` is shown instead of `for_model` where it is given; `happenings` are emitted once the result
    is kept. The fields from `trust` on are set by the toolset: of a cached result, `made_at` is when it was
    made and `saved` what a new run would have used."""

    for_model: str
    for_user: str = ""
    is_error: bool = False
    fault: Fault | None = None
    found_nothing: bool = False
    passages: tuple[NewPassage, ...] = ()
    artifacts: tuple[NewArtifact, ...] = ()
    notes: tuple[NewNote, ...] = ()
    happenings: tuple[Happening, ...] = ()
    usage: ToolUsage = ToolUsage()
    trust: Trust = Trust.OPERATOR
    made_at: datetime | None = None
    saved: ToolUsage = ToolUsage()
    saved_ms: int = 0

    @property
    def is_cached(self) -> bool:
        return self.made_at is not None


class WaitingFor(StrEnum):
    APPROVAL = "approval"
    ANSWER = "answer"  # to a question that the model asked the person
    OUTCOME = "outcome"  # a person must say whether an effect happened before a crash
    AGENTS = "agents"
    JOB = "job"
    QUOTA = "quota"

    @property
    def keeps_approval(self) -> bool:
        """Whether a call that was approved, and waits for this now, need not be approved again: nobody
        decides on such a wait."""
        return self in (WaitingFor.AGENTS, WaitingFor.JOB)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A call that has no result yet: the turn leaves its worker. It is run again, under the same key, when
    somebody wakes the turn or after `wake_in_s`; with `expires_in_s` it is refused when nobody decided by
    then."""

    waiting_for: WaitingFor
    prompt: str = ""
    wake_in_s: float | None = None
    expires_in_s: float | None = None


class Decision(StrEnum):
    """What a person said to a waiting call; the values of chat's ToolRun.Decision."""

    APPROVED = "approved"
    REFUSED = "refused"
    ANSWERED = "answered"
    HAPPENED = "happened"
    EXPIRED = "expired"


class Tool(Protocol):
    """One tool. Optional abilities: `HasResources`, `CanReconcile`."""

    @property
    def spec(self) -> ToolSpec: ...

    @property
    def traits(self) -> Traits: ...

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | Waiting:
        """The arguments fit the spec's schema. Cancelling it ends whatever it started."""
        ...


@runtime_checkable
class HasResources(Protocol):
    def resources(self, arguments: Mapping[str, Any]) -> frozenset[str]:
        """Names of what the call touches: calls of one step that share a name run one after another."""
        ...


@runtime_checkable
class CanReconcile(Protocol):
    async def reconcile(self, context: ToolContext) -> ToolResult | None:
        """Whether the run of this key had its effect: its result, or None when it did not happen. For
        external tools that are not idempotent."""
        ...


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A person's word on a waiting call. `answer` is what they wrote."""

    decision: Decision
    answer: str = ""


class IntentState(StrEnum):
    INTENDED = "intended"
    BEGUN = "begun"
    WAITING = "waiting"


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A call that the model has made and that has no result yet: committed before it runs.

    `key` names it for ever; `waiting_for` is what it last waited for. BEGUN is committed right before an
    external effect that must not be repeated.
    """

    step: int
    index: int
    call_id: str
    name: str
    arguments: str
    key: str
    effect: Effect = Effect.NONE
    state: IntentState = IntentState.INTENDED
    edition: int = 0
    waiting_for: WaitingFor | None = None
    decided: Decided | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
