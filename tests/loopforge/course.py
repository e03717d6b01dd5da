"""What the model does next: the port that a set of questions implements, and the plan, which is one.

A plan of n steps carries its state in the conversation alone: each reply notes in its reasoning where it
stands and a digest of all it has seen, so that a result that is lost, doubled or changed changes the answer.
"""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tests.loopforge import arguments, faults, misspeaking
from tests.loopforge.faults import Strike
from tests.loopforge.talk import Talk, text

SPEC = re.compile(r"\bforge:(?P<words>[^\n]*)")
MARK = re.compile(
    r"\[at (?P<step>\d+) (?P<digest>[0-9a-f]{12})(?: (?P<state>[a-z_]+)(?:x(?P<times>\d+))?)?\]"
)
FILLER = (
    "the",
    "result",
    "tells",
    "which",
    "call",
    "to",
    "make",
    "now",
    "so",
    "nothing",
    "is",
    "left",
    "out",
)


@dataclass(frozen=True, kw_only=True)
class Call:
    name: str
    arguments: str
    id: str


@dataclass(frozen=True, kw_only=True)
class Move:
    """One reply: calls, or the answer. `strike` is what goes wrong with it on the wire."""

    step: int
    reasoning: str
    content: str = ""
    calls: tuple[Call, ...] = ()
    strike: Strike | None = None


class Course(Protocol):
    """A set of questions and how to answer them, step by step."""

    def move(self, talk: Talk) -> Move:
        """The next reply. The same talk always gets the same one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """So many steps of up to `calls` calls each, then the answer. `tools` names those to call. A `share` of
    the steps goes wrong in an ordinary way, besides `faults`."""

    seed: int = 0
    steps: int = 10
    calls: int = 1
    tools: tuple[str, ...] = ()
    words: int = 12  # of reasoning in a step
    faults: tuple[Strike, ...] = ()
    share: float = 0.0

    def with_words(self, words: str) -> "Plan":
        """Changed by words like `steps=30 faults=cut@3`. Raises ValueError."""
        changes: dict[str, Any] = {}
        for name, _, value in (word.partition("=") for word in words.split()):
            if name == "faults":
                changes[name] = faults.parse(value)
            elif name == "tools":
                changes[name] = tuple(value.split(","))
            elif name in _NUMBERS:
                changes[name] = _NUMBERS[name](value)
        return replace(self, **changes)


_NUMBERS: dict[str, type[int] | type[float]] = {
    **dict.fromkeys(("seed", "steps", "calls", "words"), int),
    "share": float,
}


@dataclass(frozen=True)
class _Place:
    """Where the plan stands before its next reply, and how often that step went wrong already."""

    step: int
    digest: str
    times: int = 0


@dataclass(frozen=True)
class Planned:
    """The course of a plan; a question that says `forge: steps=30 seed=4` changes it for its own turn."""

    plan: Plan = Plan()

    def move(self, talk: Talk) -> Move:
        plan, place = self._plan_of(talk), _place(talk)
        if not talk.tools and place.step > 1:
            return Move(step=place.step, reasoning="Summing up.", content=_handed_over(place))
        # Of the platform's own tools some wait for people: by default only the calculator is called.
        wanted = plan.tools or (("calculate",) if "calculate" in talk.tools else tuple(talk.tools))
        names = [name for name in wanted if name in talk.tools]
        if place.step > plan.steps or not talk.may_call or not names:
            return _answer(plan, place, talk)
        return _step(plan, place, talk, names)

    def _plan_of(self, talk: Talk) -> Plan:
        asked = SPEC.search(talk.question)
        return self.plan.with_words(asked["words"]) if asked else self.plan


def digest(before: str, results: Sequence[str]) -> str:
    whole = "\x00".join([before, *results])
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def _place(talk: Talk) -> _Place:
    """From the last mark in the conversation: the model's own, or one in a note that stands for its steps."""
    for at in range(len(talk.said) - 1, -1, -1):
        message = talk.said[at]
        marks = list(MARK.finditer(_own_words(message)))
        if marks:
            return _behind(marks[-1], talk.results(after=at), is_note=message["role"] == "user")
    return _Place(1, digest(SPEC.sub("", talk.question), ()))


def _own_words(message: Mapping[str, Any]) -> str:
    if message["role"] == "tool":
        return ""
    return f"{message.get('reasoning_content') or ''} {text(message)}"


def _behind(mark: "re.Match[str]", results: Sequence[str], *, is_note: bool) -> _Place:
    step, seen, state = int(mark["step"]), mark["digest"], mark["state"]
    if is_note:
        return _Place(step, seen)
    if state in {fault.value for fault in faults.TOLD}:
        # What came of a step that went wrong is not taken in: the answer is that of a run without it.
        return _Place(step, seen, times=int(mark["times"] or 1))
    return _Place(step + 1, digest(seen, results) if results else seen)


def _handed_over(place: _Place) -> str:
    return f"So far [at {place.step} {place.digest}] and nothing is missing."


def _answer(plan: Plan, place: _Place, talk: Talk) -> Move:
    strike = faults.at(place.step, plan.faults, share=0, seed=plan.seed)
    is_wire = strike is not None and strike.fault in faults.OF_THE_WIRE
    if not talk.tools:
        words = f"Seen: {place.digest}."
    else:
        words = f"Done after {place.step - 1} of {plan.steps} steps. Seen: {place.digest}."
    reasoning = f"[at {place.step} {place.digest}] That is all."
    return Move(step=place.step, reasoning=reasoning, content=words, strike=strike if is_wire else None)


def _step(plan: Plan, place: _Place, talk: Talk, names: Sequence[str]) -> Move:
    draw = random.Random(f"{plan.seed} {place.step} {place.digest}")
    shape = random.Random(f"{plan.seed} {place.step}")  # how many and which: known without any result
    calls = []
    for at in range(shape.randint(1, plan.calls)):
        name = shape.choice(names)
        call_id = f"functions.{name}:{talk.next_call + at}"
        calls.append(Call(name=name, arguments=arguments.of(name, talk.tools[name], draw), id=call_id))
    strike = faults.at(place.step, plan.faults, share=plan.share, seed=plan.seed)
    move = Move(step=place.step, reasoning=_reasoning(plan, place, ""), calls=tuple(calls))
    if strike is None:
        return move
    if strike.fault in faults.OF_THE_WIRE:
        return replace(move, strike=strike)
    if strike.fault in faults.MENDED:
        return replace(move, calls=misspeaking.spoil(move.calls, strike.fault, talk.tools))
    if place.times >= strike.times:
        return move
    state = f" {strike.fault}x{place.times + 1}"
    spoilt = misspeaking.spoil(move.calls, strike.fault, talk.tools)
    return replace(move, reasoning=_reasoning(plan, place, state), calls=spoilt)


def _reasoning(plan: Plan, place: _Place, state: str) -> str:
    draw = random.Random(f"words {plan.seed} {place.step}")
    words = " ".join(draw.choice(FILLER) for _ in range(plan.words))
    return f"[at {place.step} {place.digest}{state}] {words}"
