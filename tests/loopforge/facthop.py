"""FactHop: questions over the factbook that take 2 to 260 lookups, their exact answers, and a solver that
makes every lookup with the platform's tools.

The answers are worked out here from the book itself, by none of the code that the tools use to read values.
"""

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from agents.corpus.factbook import Profile
from agents.corpus.place_names import plain
from tests.loopforge import faults, misspeaking
from tests.loopforge.course import Call, Move
from tests.loopforge.faults import Strike
from tests.loopforge.talk import Talk, text

AREA = "Geography / Area / total"
PEOPLE = "People and Society / Population / total"
COAST = "Geography / Coastline"
BORDERS = "Geography / Land boundaries / border countries"
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_VALUE = re.compile(r"\s*([\d,]+(?:\.\d+)?)\s*(thousand|million|billion|trillion)?\b")
_BORDER = re.compile(r"\s*([^;:]+?)\s+(?:\([^)]*\)\s*)?[\d,.]+ km")
_MARK = re.compile(r"\[hop (\{[^\n]*\})\]")
_LINE = re.compile(
    r"^\[\d+\] [^|\n]+ \| (?P<name>[^|\n]+?): [^\n]*? \| value (?P<value>-?[\d.]+)", re.MULTILINE
)
_PLACES = re.compile(r"^(\d+) places: (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^\[\d+\] (?P<title>.+)\nsource: (?P<source>[^\s,]+)", re.MULTILINE)
_RANK = re.compile(r"Rank all places by '(.+?)' per '(.+?)': name the first (\d+)\.")
_COMPARE = re.compile(r"Which of these has the most by '(.+?)': (.+)\?")
_NEIGHBOUR = re.compile(r"Which neighbour of (.+) with more than (\d+) people has the longest coast\?")


@dataclass(frozen=True, kw_only=True)
class Question:
    text: str
    answer: str
    num_lookups: int


# ---- asking


class Book:
    """The factbook, read for the answers."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        self._facts = {
            profile.name: {fact.name: fact.text for fact in profile.facts}
            for profile in profiles
            if profile.facts
        }
        self._names = {plain(name): name for name in self._facts}

    def value(self, place: str, fact: str) -> Fraction | None:
        found = _VALUE.match(self._facts[place].get(fact, ""))
        if found is None:
            return None
        return Fraction(Decimal(found[1].replace(",", ""))) * SCALES.get(found[2] or "", 1)

    def rank(self, first: str, second: str, count: int) -> Question:
        known = [place for place, facts in self._facts.items() if first in facts and second in facts]
        scored = []
        for place in known:
            above, below = self.value(place, first), self.value(place, second)
            if above is not None and below:
                scored.append((above / below, place))
        words = f"Rank all places by '{first}' per '{second}': name the first {count}."
        return Question(text=words, answer=_best(scored, count), num_lookups=len(known) + 1)

    def compare(self, draw: random.Random, fact: str) -> Question:
        known = sorted(place for place in self._facts if self.value(place, fact) is not None)
        places = draw.sample(known, draw.randint(2, min(8, len(known))))
        scored = [(self.value(place, fact) or Fraction(0), place) for place in places]
        words = f"Which of these has the most by '{fact}': {'; '.join(places)}?"
        return Question(text=words, answer=_best(scored, 1), num_lookups=len(places))

    def neighbour(self, draw: random.Random) -> Question:
        place = draw.choice(sorted(place for place in self._facts if self._neighbours(place)))
        neighbours = self._neighbours(place)
        least = draw.choice([100, 1_000_000, 5_000_000])
        scored = [
            (coast, name)
            for name in neighbours
            if (self.value(name, PEOPLE) or 0) > least and (coast := self.value(name, COAST)) is not None
        ]
        words = f"Which neighbour of {place} with more than {least} people has the longest coast?"
        return Question(text=words, answer=_best(scored, 1), num_lookups=len(neighbours) + 2)

    def questions(self, number: int, *, seed: int) -> list[Question]:
        """So many short ones, of both kinds."""
        draw = random.Random(f"facthop {seed}")
        facts = (AREA, PEOPLE, COAST)
        return [
            self.neighbour(draw) if at % 2 else self.compare(draw, draw.choice(facts)) for at in range(number)
        ]

    def _neighbours(self, place: str) -> list[str]:
        """None of a place whose neighbours' names are not all those of places."""
        said = self._facts[place].get(BORDERS, "")
        names = [self._names.get(plain(name)) for name in _BORDER.findall(said)]
        is_whole = len(names) == said.count(" km") and "(" not in said
        return [name for name in names if name] if is_whole and all(names) else []


def _best(scored: Sequence[tuple[Fraction, str]], count: int) -> str:
    best = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:count]
    return "; ".join(place for _, place in best) or "none"


# ---- answering


@dataclass(frozen=True, kw_only=True)
class State:
    """Where the solver stands: written in every reply: nothing else need be remembered. `todo` are the
    places to look up where they are few; of many the list is in the tool's answer, or asked for again."""

    step: int = 1
    phase: str = ""  # what the reply's call is for
    at: int = 0
    todo: tuple[str, ...] | None = None
    source: str = ""
    best: tuple[tuple[str, str], ...] = ()
    lookups: int = 0
    times: int = 0
    is_spoilt: bool = False  # the reply's call is

    def taking(self, score: Fraction | None, place: str, count: int) -> "State":
        scored = [(Fraction(value), name) for value, name in self.best]
        scored += [] if score is None else [(score, place)]
        kept = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:count]
        return replace(self, best=tuple((str(value), name) for value, name in kept))


@dataclass(frozen=True, kw_only=True)
class Task:
    """The question, as the solver reads it."""

    facts: tuple[str, ...]
    count: int = 1
    of: str = ""
    least: int = 0
    places: tuple[str, ...] | None = None

    def score(self, values: Mapping[str, Fraction]) -> Fraction | None:
        found = [values.get(name) for name in self.facts]
        if any(value is None for value in found):
            return None
        first, *rest = [value for value in found if value is not None]
        if self.of:
            return first if rest[0] > self.least else None
        if rest:
            return first / rest[0] if rest[0] else None
        return first


def task_of(question: str) -> Task | None:
    if found := _RANK.search(question):
        return Task(facts=(found[1], found[2]), count=int(found[3]))
    if found := _COMPARE.search(question):
        return Task(facts=(found[1],), places=tuple(found[2].split("; ")))
    if found := _NEIGHBOUR.search(question):
        return Task(facts=(COAST, PEOPLE), of=found[1], least=int(found[2]))
    return None


@dataclass(frozen=True)
class FactHop:
    """The course. `strikes` and a `share` of the steps go wrong as a plan's do."""

    strikes: tuple[Strike, ...] = ()
    share: float = 0.0
    seed: int = 0

    def move(self, talk: Talk) -> Move:
        task = task_of(talk.question)
        if task is None:
            return Move(step=1, reasoning="This is no question of mine.", content="I cannot tell.")
        state, results = _state(talk)
        state = _advanced(task, state, results)
        if not talk.tools:
            return Move(step=state.step, reasoning="Summing up.", content=f"So far {_mark(state)}")
        call = _next_call(task, state, talk)
        if call is None or not talk.may_call:
            words = "; ".join(name for _, name in state.best) or "none"
            return self._struck(Move(step=state.step, reasoning=_mark(state), content=words), state, talk)
        phase, name, arguments = call
        state = replace(state, phase=phase)
        made = Call(name=name, arguments=json.dumps(arguments), id=f"functions.{name}:{talk.next_call}")
        return self._struck(Move(step=state.step, reasoning=_mark(state), calls=(made,)), state, talk)

    def _struck(self, move: Move, state: State, talk: Talk) -> Move:
        strike = faults.at(state.step, self.strikes, share=self.share, seed=self.seed)
        if strike is None:
            return move
        if strike.fault in faults.OF_THE_WIRE:
            return replace(move, strike=strike)
        if not move.calls or (strike.fault in faults.TOLD and state.times >= strike.times):
            return move
        spoilt = misspeaking.spoil(move.calls, strike.fault, talk.tools)
        if strike.fault in faults.TOLD:
            told = replace(state, times=state.times + 1, is_spoilt=True)
            return replace(move, calls=spoilt, reasoning=_mark(told))
        return replace(move, calls=spoilt)


def _mark(state: State) -> str:
    return f"[hop {json.dumps(state.__dict__)}]"


def _state(talk: Talk) -> tuple[State, list[str]]:
    """What the last mark says, and what the tools brought since."""
    for at in range(len(talk.said) - 1, -1, -1):
        message = talk.said[at]
        own = "" if message["role"] == "tool" else f"{message.get('reasoning_content') or ''} {text(message)}"
        if marks := _MARK.findall(own):
            fields: dict[str, Any] = json.loads(marks[-1])
            fields["best"] = tuple((value, name) for value, name in fields["best"])
            fields["todo"] = None if fields["todo"] is None else tuple(fields["todo"])
            results = [] if message["role"] == "user" else talk.results(after=at)
            return State(**fields), results
    return State(), []


def _advanced(task: Task, state: State, results: Sequence[str]) -> State:
    """The state behind the results of its call. What came of a spoilt call is not taken in."""
    if not results:
        return state
    if state.is_spoilt:
        return replace(state, is_spoilt=False)
    state = replace(state, step=state.step + 1, times=0)
    said = "\n".join(results)
    if state.phase == "search":
        sources = {found["title"]: found["source"] for found in _BLOCK.finditer(said)}
        return replace(state, source=sources.get(f"{task.of} (The World Factbook)", "not found"))
    if state.phase == "read":
        return replace(state, todo=_borders(said))
    if state.phase == "look":
        values = {found["name"]: Fraction(found["value"]) for found in _LINE.finditer(said)}
        looked = state.taking(task.score(values), _place_of(said), task.count)
        return replace(looked, at=state.at + 1, lookups=state.lookups + 1)
    return state


def _place_of(said: str) -> str:
    found = re.search(r"^\[\d+\] ([^|\n]+) \|", said, re.MULTILINE)
    return found[1] if found else ""


def _borders(said: str) -> tuple[str, ...]:
    line = re.search(r"Land boundaries / border countries: ([^\n(]+)", said)
    return tuple(_BORDER.findall(line[1])) if line else ()


def _next_call(task: Task, state: State, talk: Talk) -> tuple[str, str, dict[str, Any]] | None:
    """What the next call is for, its tool and its arguments; None when all has been looked up."""
    if task.of and state.todo is None:
        if state.source:
            return "read", "find_in_page", {"source": state.source, "words": '"border countries"'}
        return "search", "web_search", {"query": f"{task.of} land boundaries border countries", "limit": 10}
    places = task.places or state.todo
    if places is None:
        places = _listed(talk)
    if places is None:
        return "list", "facts_query", {"facts": list(task.facts)}
    if state.at >= len(places):
        return None
    return "look", "facts_query", {"place": places[state.at], "facts": list(task.facts)}


def _listed(talk: Talk) -> tuple[str, ...] | None:
    """The places that the tool named, if they are still in view, all of them."""
    for message in reversed(talk.said):
        if message["role"] == "tool" and (found := _PLACES.search(text(message))):
            names = tuple(found[2].split("; "))
            if len(names) == int(found[1]):
                return names
    return None
