"""What a turn knows besides its steps: its plan, the facts it keeps, and everything that can be looked up
again by a name the model has seen.

The adapter for tests, benches and scripts is here; the one on the database is `chat.notebook`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agents.happenings import PlanLine
from agents.tool import NewPassage, ToolResult, Trust
from agents.transcript import NoteKind, Transcript
from inference.schema import ToolCall

HOW_TO_NAME = "Name ids of calls, passages, artifacts or facts that you have seen."


@dataclass(frozen=True, kw_only=True)
class Fact:
    """`id` is how the model names it: F1, F2 and so on, never used twice in a turn."""

    id: str
    text: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a name stands for, in full, and whose text it is."""

    name: str
    title: str
    text: str
    trust: Trust = Trust.OPERATOR


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """Steps after `to_step`, through `step`, were taken back while the plan was in this phase."""

    step: int
    to_step: int
    phase: str = ""

    def takes_back(self, step: int) -> bool:
        return self.to_step < step <= self.step


class Notebook(Protocol):
    """Each write commits before it returns, and changes nothing more when it is made again."""

    async def plan(self) -> tuple[PlanLine, ...]: ...

    async def write_plan(self, lines: Sequence[PlanLine]) -> None:
        """Put these lines in the place of the whole plan."""
        ...

    async def facts(self) -> tuple[Fact, ...]:
        """In the order they were written, without those of steps that were taken back."""
        ...

    async def remember(self, text: str, *, evidence: Sequence[str], key: str) -> Fact:
        """Keep a fact. `key` is that of the call that brings it: the same key gives the same fact."""
        ...

    async def find(self, name: str) -> Found | None:
        """The result of a call by the call's id, an artifact by its name, a passage by its number ("[7]") or
        a fact by its id."""
        ...

    async def step_of(self, call_id: str) -> int | None:
        """The step of this call, if the model still stands by it."""
        ...

    async def rollbacks(self) -> tuple[Rollback, ...]: ...

    async def effects_after(self, step: int) -> tuple[ToolCall, ...]:
        """The calls of later steps that changed the world outside, or may have."""
        ...


async def unknown_names(notebook: Notebook, names: Iterable[str]) -> list[str]:
    """Those that stand for nothing the model has seen."""
    return [name for name in dict.fromkeys(names) if await notebook.find(name) is None]


def rollback_of(*, step: int, data: dict[str, object]) -> Rollback:
    """What a ROLLBACK note after step `step` did."""
    return Rollback(step=step, to_step=int(str(data["to_step"])), phase=str(data.get("phase", "")))


def is_taken_back(step: int, rollbacks: Iterable[Rollback]) -> bool:
    return any(rollback.takes_back(step) for rollback in rollbacks)


@dataclass(frozen=True)
class _Kept:
    fact: Fact
    step: int


class InMemoryNotebook:
    """The notebook of one transcript in this process."""

    def __init__(
        self,
        transcript: Transcript,
        *,
        external: frozenset[str] = frozenset(),
        passages: Mapping[int, NewPassage] | None = None,
    ) -> None:
        """`external` are the names of the tools that change the world outside; `passages` those of the turn
        by their number, as the store keeps them."""
        self._transcript = transcript
        self._external = external
        self._passages = passages if passages is not None else {}
        self._plan: tuple[PlanLine, ...] = ()
        self._facts: dict[str, _Kept] = {}

    async def plan(self) -> tuple[PlanLine, ...]:
        return self._plan

    async def write_plan(self, lines: Sequence[PlanLine]) -> None:
        self._plan = tuple(lines)

    async def facts(self) -> tuple[Fact, ...]:
        rollbacks = await self.rollbacks()
        return tuple(kept.fact for kept in self._facts.values() if not is_taken_back(kept.step, rollbacks))

    async def remember(self, text: str, *, evidence: Sequence[str], key: str) -> Fact:
        if key not in self._facts:
            fact = Fact(id=f"F{len(self._facts) + 1}", text=text, evidence=tuple(evidence))
            self._facts[key] = _Kept(fact, self._step_of_key(key))
        return self._facts[key].fact

    async def find(self, name: str) -> Found | None:
        return self._result(name) or self._artifact(name) or self._passage(name) or self._fact(name)

    async def step_of(self, call_id: str) -> int | None:
        rollbacks = await self.rollbacks()
        for step in self._transcript.steps:
            if any(record.call.id == call_id for record in step.calls):
                return None if is_taken_back(step.number, rollbacks) else step.number
        return None

    async def rollbacks(self) -> tuple[Rollback, ...]:
        notes = (note for note in self._transcript.notes if note.kind is NoteKind.ROLLBACK)
        return tuple(rollback_of(step=note.step, data=note.data) for note in notes)

    async def effects_after(self, step: int) -> tuple[ToolCall, ...]:
        later = (record for made in self._transcript.steps if made.number > step for record in made.calls)
        return tuple(record.call for record in later if record.call.name in self._external)

    def _step_of_key(self, key: str) -> int:
        steps = self._transcript.steps
        for step in reversed(steps):
            if any(record.key == key for record in step.calls):
                return step.number
        return steps[-1].number if steps else 0

    def _result(self, name: str) -> Found | None:
        for record in self._transcript.calls():
            if record.call.id == name and record.result is not None:
                text, trust = record.result.for_model, record.result.trust
                return Found(name=name, title=record.call.name, text=text, trust=trust)
        return None

    def _artifact(self, name: str) -> Found | None:
        for result in self._results():
            for artifact in result.artifacts:
                if artifact.name == name:
                    return Found(name=name, title=artifact.media_type, text=artifact.text, trust=result.trust)
        return None

    def _passage(self, name: str) -> Found | None:
        number = passage_number(name)
        passage = self._passages.get(number) if number is not None else None
        if passage is None:
            return None
        title = passage.title or passage.source
        return Found(name=f"[{number}]", title=title, text=passage.text, trust=Trust.WEB)

    def _results(self) -> Iterator[ToolResult]:
        return (record.result for record in self._transcript.calls() if record.result is not None)

    def _fact(self, name: str) -> Found | None:
        for kept in self._facts.values():
            if kept.fact.id == name:
                return found_fact(kept.fact)
        return None


def passage_number(name: str) -> int | None:
    """7 of "[7]" or "7"."""
    digits = name.removeprefix("[").removesuffix("]")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 7 else None


def found_fact(fact: Fact) -> Found:
    return Found(name=fact.id, title="fact", text=fact_line(fact))


def fact_line(fact: Fact) -> str:
    return f"{fact.id}: {fact.text}" + (f" [{', '.join(fact.evidence)}]" if fact.evidence else "")


def plan_lines(lines: Iterable[PlanLine]) -> str:
    """The plan as the model reads it: a line each, under its phase."""
    shown: list[str] = []
    phase = ""
    for number, line in enumerate(lines, start=1):
        if line.phase != phase:
            shown.append(f"{line.phase}:")
            phase = line.phase
        evidence = f" [{', '.join(line.evidence)}]" if line.evidence else ""
        shown.append(f"{number}. ({line.status}) {line.text}{evidence}")
    return "\n".join(shown)
