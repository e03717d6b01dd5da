"""A turn kept in memory: the `TurnStore` of tests, benches and scripts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from agents.budget import Grant
from agents.steps import loop
from agents.steps.progress import Outcome, Progress, notes_of
from agents.steps.reply import Reply
from agents.store import BudgetExhausted
from agents.tool import Decided, Decision, Intent, IntentState, NewPassage, ToolResult, Waiting, WaitingFor
from agents.transcript import Note, Transcript
from inference.schema import ChatMessage, ChatRequest, Usage


@dataclass
class MemoryStore:
    """`budget`: so many output tokens may be spent before a call; `agents_nano`: what its agents cost.
    Everything kept stands in the order it came."""

    budget: int = 10**12
    agents_nano: int = 0
    requests: list[ChatRequest] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    asides: list[Reply] = field(default_factory=list)
    intents: dict[str, Intent] = field(default_factory=dict)
    results: dict[str, ToolResult] = field(default_factory=dict)
    durations_ms: dict[str, int] = field(default_factory=dict)
    waits: dict[str, Waiting] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    passages: dict[int, NewPassage] = field(default_factory=dict)
    unheard: list[Note] = field(default_factory=list)

    async def reserve(self, request: ChatRequest, *, spent: Usage) -> Grant:
        self.requests.append(request)
        if spent.output_tokens > self.budget:
            raise BudgetExhausted("The account is empty.")
        return Grant(max_tokens=request.sampling.max_tokens or 10**9)

    async def spent_by_agents(self) -> int:
        return self.agents_nano

    async def save_reply(self, reply: Reply, intents: Sequence[Intent]) -> None:
        self.replies.append(reply)
        self.intents.update((intent.key, intent) for intent in intents)

    async def save_aside(self, reply: Reply) -> None:
        self.asides.append(reply)

    async def begin(self, intent: Intent) -> None:
        self.intents[intent.key] = replace(self.intents[intent.key], state=IntentState.BEGUN)

    async def save_result(
        self, intent: Intent, result: ToolResult, *, duration_ms: int, first_passage: int
    ) -> None:
        assert intent.key not in self.results, "a result is kept once"
        self.results[intent.key] = result
        self.durations_ms[intent.key] = duration_ms
        self.passages.update(enumerate(result.passages, first_passage))
        self.notes.extend(notes_of(intent, result))

    async def save_waiting(self, intent: Intent, waiting: Waiting) -> datetime | None:
        known = self.intents[intent.key]
        if (
            known.state is not IntentState.WAITING
            or self.waits[intent.key].waiting_for != waiting.waiting_for
        ):
            stays = waiting.waiting_for.keeps_approval and known.decided == Decided(
                decision=Decision.APPROVED
            )
            decided = known.decided if stays else None
            self.intents[intent.key] = replace(known, state=IntentState.WAITING, decided=decided)
            self.waits[intent.key] = waiting
        if waiting.expires_in_s is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=waiting.expires_in_s)

    async def save_note(self, note: Note) -> None:
        self.notes.append(note)

    async def heard(self, *, step: int) -> Sequence[Note]:
        heard = [replace(note, step=step) for note in self.unheard]
        self.notes.extend(heard)
        self.unheard = []
        return heard

    # ---- for who drives the turn

    def decide(self, key: str, decided: Decided) -> None:
        """A person's word on a call that waits."""
        self.intents[key] = replace(self.intents[key], decided=decided)

    def progress(self, opening: Sequence[ChatMessage]) -> Progress:
        """Where the turn stands: what a worker that takes over goes on from."""
        progress = Progress(transcript=Transcript(opening=tuple(opening)), num_passages=len(self.passages))
        for reply in self.replies:
            self._take(progress, reply)
        for aside in self.asides:
            progress.take_aside(aside)
        return progress

    def _take(self, progress: Progress, reply: Reply) -> None:
        for note in self.notes:
            if note.step == reply.step - 1:
                progress.take_note(note)
        intents = [intent for intent in self.intents.values() if intent.step == reply.step]
        progress.take_reply(reply, intents, num_tokens=0)
        for intent in intents:
            if (result := self.results.get(intent.key)) is not None:
                duration_ms = self.durations_ms[intent.key]
                progress.take_result(intent, replace(result, notes=()), duration_ms=duration_ms, num_tokens=0)
        progress.pending = [self._as_left(intent) for intent in intents if intent.key not in self.results]
        progress.ended = None if intents else self._end(progress, reply)
        if reply is self.replies[-1]:
            for note in self.notes:
                if note.step == reply.step:
                    progress.take_note(note)

    def _end(self, progress: Progress, reply: Reply) -> Outcome:
        return loop.end_of(
            reply.finish_reason, detail=reply.detail, forced=progress.forced_before(reply.step)
        )

    def _as_left(self, intent: Intent) -> Intent:
        return as_left(intent, self.waits[intent.key].waiting_for if intent.key in self.waits else None)


def as_left(intent: Intent, waiting_for: WaitingFor | None) -> Intent:
    """The intent as a resumed turn meets it: a run of unknown outcome on which nobody has decided is still
    one."""
    is_open = intent.state is IntentState.WAITING and intent.decided is None
    if is_open and waiting_for is WaitingFor.OUTCOME:
        return replace(intent, state=IntentState.BEGUN)
    return intent
