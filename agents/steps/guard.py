"""Notices that a model goes round in circles, and says so, ever more firmly. Works from the transcript alone.

A repeat is the same call (tool and canonical arguments) that brings the same result again, or that is made
again right away, whatever it brings: running the tests after each change of a file is no circle. Calls that
go round in the same order count as well, and a tool that fails in the same way takes a rung of the ladder
every third time. A rollback begins anew.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from itertools import islice, takewhile

from agents import tool_cache
from agents.tool import Fault
from agents.transcript import CallRecord, Note, NoteKind, Step, Transcript
from inference.schema import ToolCall

FAULTS_OF_A_RUNG = 3
LONGEST_CYCLE = 4


class Level(StrEnum):
    ADVISE = "advise"
    CHECK = "check"
    TEXT_ONLY = "text_only"
    STOP = "stop"


LADDER = {3: Level.ADVISE, 5: Level.CHECK, 8: Level.TEXT_ONLY, 12: Level.STOP}
_RUNGS = tuple(LADDER.values())

_WORDS = {
    Level.ADVISE: "The result will not change. Use what you have, or try something else.",
    Level.CHECK: "Before you call another tool, write down what result would prove your present idea wrong,"
    " and check that instead. If the idea fails, take another way.",
    Level.TEXT_ONLY: "Tools are switched off for your next reply. Say in words what you know, what is missing"
    " and how you will go on.",
    Level.STOP: "This leads nowhere. Answer now with what you know, and say what you could not find out.",
}


def fingerprint(call: ToolCall) -> bytes:
    """The same for calls that mean the same, whatever the order of their arguments."""
    try:
        arguments = tool_cache.canonical(json.loads(call.arguments or "{}"))
    except (ValueError, RecursionError):
        arguments = call.arguments.strip()
    return _digest(call.name, arguments)


def advice(transcript: Transcript) -> Note | None:
    """What to tell the model after its last step: a note when a rung of the ladder is reached, with `data`
    {level, tool, times}. None where there is nothing new to say, or where it was said already."""
    finding = _Watch.of(transcript).finding
    if finding is None or any(note.kind is NoteKind.GUARD for note in _last_notes(transcript, finding.step)):
        return None
    return Note(
        step=finding.step,
        kind=NoteKind.GUARD,
        text=f"{finding.what} {_WORDS[finding.level]}",
        data={"level": finding.level.value, "tool": finding.tool, "times": finding.times},
    )


def _last_notes(transcript: Transcript, step: int) -> Iterator[Note]:
    return takewhile(lambda note: note.step == step, reversed(transcript.notes))


@dataclass(frozen=True, kw_only=True)
class _Finding:
    step: int
    level: Level
    tool: str
    times: int
    what: str


@dataclass
class _Seen:
    """How often a call has been repeated, and what it brought last."""

    times: int = 0
    result: bytes = b""


@dataclass
class _Failing:
    """How a tool fails, and how many times on end."""

    fault: str = ""
    times: int = 0


class _Watch:
    """The calls of one transcript so far. `finding` is about the last step, once it has all its results."""

    def __init__(self) -> None:
        self.finding: _Finding | None = None
        self._num_steps = 0
        self._num_notes = 0
        self._begin_anew()

    @classmethod
    def of(cls, transcript: Transcript) -> "_Watch":
        watch = transcript.derived.get(cls)
        if not isinstance(watch, cls) or len(transcript.steps) < watch._num_steps:
            watch = transcript.derived[cls] = cls()
        watch._catch_up(transcript)
        return watch

    def _begin_anew(self) -> None:
        self._seen: defaultdict[bytes, _Seen] = defaultdict(_Seen)
        self._failing: defaultdict[str, _Failing] = defaultdict(_Failing)
        self._lately: deque[tuple[bytes, str]] = deque(maxlen=LONGEST_CYCLE + 1)
        self._in_step_with = [0] * (LONGEST_CYCLE + 1)  # calls on end that equal the one so many before

    def _catch_up(self, transcript: Transcript) -> None:
        for step in islice(transcript.steps, self._num_steps, None):
            if not all(record.result for record in step.calls):
                self.finding = None
                return
            self._take_notes(transcript, before=step.number)
            self._take(step)
            self._num_steps += 1
        self._take_notes(transcript, before=None)

    def _take_notes(self, transcript: Transcript, *, before: int | None) -> None:
        notes = transcript.notes
        while self._num_notes < len(notes) and (before is None or notes[self._num_notes].step < before):
            if notes[self._num_notes].kind is NoteKind.ROLLBACK:
                self._begin_anew()
                self.finding = None
            self._num_notes += 1

    def _take(self, step: Step) -> None:
        findings = [finding for record in step.calls for finding in self._look_at(record, step.number)]
        self.finding = max(findings, key=lambda finding: _RUNGS.index(finding.level), default=None)

    def _look_at(self, record: CallRecord, step: int) -> Iterator[_Finding]:
        tool = record.call.name
        times = self._times_repeated(record)
        around, period = self._times_around()
        faults = self._faults_on_end(record)
        if level := _rung(times):
            what = f"You have called {tool} with the same arguments {times} times."
            yield _Finding(step=step, level=level, tool=tool, times=times, what=what)
        if level := _rung(around):
            tools = ", ".join(name for _, name in list(self._lately)[-period:])
            what = f"You go round in a circle ({tools}), {around} times now."
            yield _Finding(step=step, level=level, tool=tool, times=around, what=what)
        if faults and not faults % FAULTS_OF_A_RUNG:
            level = _RUNGS[min(faults // FAULTS_OF_A_RUNG, len(_RUNGS)) - 1]
            what = f"{tool} has failed in the same way {faults} times on end."
            yield _Finding(step=step, level=level, tool=tool, times=faults, what=what)

    def _times_repeated(self, record: CallRecord) -> int:
        """How often the call was made, counting only repeats; 0 when this one is none."""
        call = fingerprint(record.call)
        seen = self._seen[call]
        result = _digest(record.result.for_model if record.result else "")
        is_at_once = bool(self._lately) and self._lately[-1][0] == call
        self._lately.append((call, record.call.name))
        is_repeat = not seen.times or seen.result == result or is_at_once
        seen.result = result
        if not is_repeat:
            return 0
        seen.times += 1
        return seen.times

    def _times_around(self) -> tuple[int, int]:
        """How many times on end the last calls went round the same circle, and how many calls that is."""
        lately = [call for call, _ in self._lately]
        best = (0, 1)
        for period in range(2, LONGEST_CYCLE + 1):
            is_in_step = len(lately) > period and lately[-1] == lately[-1 - period]
            self._in_step_with[period] = self._in_step_with[period] + 1 if is_in_step else 0
            rounds, rest = divmod(self._in_step_with[period], period)
            if rounds and not rest and len(set(lately[-period:])) > 1:
                best = max(best, (rounds + 1, period))
        return best

    def _faults_on_end(self, record: CallRecord) -> int:
        if record.result is None or not record.result.is_error:
            self._failing.pop(record.call.name, None)
            return 0
        failing = self._failing[record.call.name]
        fault = record.result.fault.value if record.result.fault else Fault.FAILED.value
        failing.times = failing.times + 1 if failing.fault == fault else 1
        failing.fault = fault
        return failing.times


def _rung(times: int) -> Level | None:
    """The rung that this many repeats reach. There is none above the last, which is reached every time."""
    return LADDER.get(min(times, max(LADDER)))


def _digest(*texts: str) -> bytes:
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
