"""How far a turn has come, and what it has used up to there."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.limits import Limit, Spent
from agents.steps.reply import Reply
from agents.tool import Intent, ToolResult, ToolUsage, WaitingFor
from agents.transcript import CallRecord, Note, NoteKind, Step, Transcript
from inference.schema import FinishReason, ToolCall, Usage


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Why the turn is over: `limit` where one of its limits ended it; else `detail` says what happened and
    what to do, where there is something to say."""

    finish_reason: FinishReason
    detail: str = ""
    limit: Limit | None = None


@dataclass(frozen=True, kw_only=True)
class Parked:
    """The turn goes on when it is woken, or after `wake_in_s`; until then it needs no worker."""

    waiting_for: WaitingFor
    wake_in_s: float | None = None


def notes_of(intent: Intent, result: ToolResult) -> list[Note]:
    """The notes that a call brings with its result."""
    return [
        Note(step=intent.step, kind=NoteKind(new.kind), text=new.text, data=dict(new.data))
        for new in result.notes
    ]


@dataclass(kw_only=True)
class Progress:
    """The transcript and what follows from it. `pending` are the calls of its last step that have no result.

    `usage` is that of every stored reply and of every call on the side. `ended` is how the last stored reply
    ended where it called no tools: then it is the answer, unless a check sends it back.
    """

    transcript: Transcript
    next_step: int = 1
    pending: list[Intent] = field(default_factory=list)
    usage: Usage = Usage()
    last_usage: Usage = Usage()
    ended: Outcome | None = None
    began: float = field(default_factory=time.monotonic)
    num_passages: int = 0
    window_share: float = 1.0  # of the model's window: less, once it refused what should have fitted
    forced: Limit | None = field(default=None, init=False)
    forced_after: int = field(default=0, init=False)
    warned: set[str] = field(default_factory=set, init=False)
    tools_used: ToolUsage = field(default=ToolUsage(), init=False)
    calls_of_tool: Counter[str] = field(default_factory=Counter, init=False)
    ids: set[str] = field(default_factory=set, init=False)
    _checked: dict[int, Note] = field(default_factory=dict, init=False)
    _empty: set[int] = field(default_factory=set, init=False)
    _text_only_after: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        for message in self.transcript.opening:
            self.ids.update(call.id for call in message.tool_calls)
        self.num_calls = sum(len(message.tool_calls) for message in self.transcript.opening)
        for step in self.transcript.steps:
            self._count_calls([record.call for record in step.calls])
            for record in step.calls:
                self._count_result(record)
        for note in self.transcript.notes:
            self._heed(note)

    # ---- taking what comes

    def take_reply(self, reply: Reply, intents: Sequence[Intent], *, num_tokens: int) -> None:
        keys = {intent.index: intent.key for intent in intents}
        calls = [CallRecord(call=call, key=keys.get(i, "")) for i, call in enumerate(reply.tool_calls)]
        self.transcript.steps.append(
            Step(
                number=reply.step,
                reasoning=reply.reasoning,
                content=reply.content,
                calls=calls,
                num_tokens=num_tokens,
            )
        )
        self._count_calls(list(reply.tool_calls))
        self.pending = list(intents)
        self.usage += reply.usage
        self.last_usage = reply.usage
        self.next_step = reply.step + 1

    def take_result(self, intent: Intent, result: ToolResult, *, duration_ms: int, num_tokens: int) -> None:
        record = self.transcript.steps[-1].calls[intent.index]
        record.result, record.duration_ms, record.num_tokens = result, duration_ms, num_tokens
        self._count_result(record)
        for note in notes_of(intent, result):
            self.take_note(note)

    def take_note(self, note: Note) -> None:
        self.transcript.notes.append(note)
        self._heed(note)

    def take_aside(self, reply: Reply) -> None:
        self.usage += reply.usage

    def passage_numbers(self, num_passages: int) -> int:
        """Give out so many numbers: the first of them."""
        first = self.num_passages + 1
        self.num_passages += num_passages
        return first

    # ---- reading it

    @property
    def last_step(self) -> int:
        return self.next_step - 1

    def check_of(self, step: int) -> Note | None:
        return self._checked.get(step)

    def forced_before(self, step: int) -> Limit | None:
        """The limit that made this step the last one."""
        return self.forced if self.forced_after < step else None

    @property
    def is_text_only(self) -> bool:
        """Whether the next step may call no tools."""
        return self._text_only_after == self.last_step

    def was_empty(self, step: int) -> bool:
        """Whether the model was asked once more, because this step brought no answer."""
        return step in self._empty

    def spent(self, *, cost_nano: int, last_cost_nano: int) -> Spent:
        return Spent(
            step=self.next_step - len(self._empty),
            seconds=time.monotonic() - self.began,
            usage=self.usage,
            cost_nano=cost_nano + self.tools_used.cost_nano,
            sandbox_ms=self.tools_used.sandbox_ms,
            fetched_bytes=self.tools_used.fetched_bytes,
            last_usage=self.last_usage,
            last_cost_nano=last_cost_nano,
        )

    # ---- counting

    def _count_calls(self, calls: Sequence[ToolCall]) -> None:
        self.num_calls += len(calls)
        self.ids.update(call.id for call in calls)

    def _count_result(self, record: CallRecord) -> None:
        if record.result is None:
            return
        used = record.result.usage
        self.calls_of_tool[record.call.name] += 1
        self.tools_used = ToolUsage(
            sandbox_ms=self.tools_used.sandbox_ms + used.sandbox_ms,
            fetched_bytes=self.tools_used.fetched_bytes + used.fetched_bytes,
            cost_nano=self.tools_used.cost_nano + used.cost_nano,
        )

    def _heed(self, note: Note) -> None:
        if note.kind is NoteKind.BUDGET and "limit" in note.data:
            if note.data.get("share", 0) >= 1:
                self._force(Limit(note.data["limit"]), note.step)
            else:
                self.warned.add(note.data.get("of", note.data["limit"]))
        elif note.kind is NoteKind.GUARD:
            self._heed_guard(note)
        elif note.kind is NoteKind.CHECK and "must_revise" in note.data:
            self._checked[note.step] = note

    def _heed_guard(self, note: Note) -> None:
        level = note.data.get("level")
        if level == "stop":
            self._force(Limit.REPEATS, note.step)
        elif level == "text_only":
            self._text_only_after = note.step
        elif level == "empty":
            self._empty.add(note.step)

    def _force(self, limit: Limit, step: int) -> None:
        if self.forced is None:
            self.forced, self.forced_after = limit, step
