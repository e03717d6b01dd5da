"""A worker that dies between any two commits leaves a turn that another ends just as it would have."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agents.memory_store import MemoryStore
from agents.steps.progress import Outcome, Parked
from agents.tool import (
    Decided,
    Decision,
    Effect,
    NewNote,
    NewPassage,
    Tool,
    ToolContext,
    ToolResult,
    Traits,
    WaitingFor,
)
from agents.transcript import Note, NoteKind, Transcript
from inference.backends.scripted import Reply as Line
from inference.schema import FinishReason, ToolSpec
from tests.agents.stage import Stage

FETCHED = datetime(2026, 1, 1, tzinfo=UTC)
SAVES = ("reserve", "save_reply", "save_aside", "begin", "save_result", "save_waiting", "save_note")
TURN = (
    Line(step=1, lines=("think: first", "call: post {}", "call: count {}", "call: pay {}")),
    Line(step=2, lines=("think: second", "call: pay {}", "call: keep {}")),
    Line(step=3, lines=("text: All is done [1].",)),
    Line(step=4, lines=("text: All is done, and checked [1].",)),
)


class Killed(BaseException):
    """The worker is gone: nothing catches this."""


class Mortal(MemoryStore):
    """Its worker dies at its `dies_at`-th save, before or after what is saved is kept."""

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name not in SAVES:
            return method

        async def save(*args: Any, **kwargs: Any) -> Any:
            self.num_saves = getattr(self, "num_saves", 0) + 1
            dies = self.num_saves == getattr(self, "dies_at", 0)
            if dies and not getattr(self, "keeps_last", False):
                raise Killed
            kept = await method(*args, **kwargs)
            if dies:
                raise Killed
            return kept

        return save


@dataclass
class World:
    """What the tools do outside: once a key where they are idempotent, once a call where they are not."""

    effects: Counter[str] = field(default_factory=Counter)
    posted: set[str] = field(default_factory=set)

    def tools(self) -> list[Tool]:
        posting = Traits(effect=Effect.EXTERNAL, is_idempotent=True)
        return [
            _Acting("post", posting, self._post),
            _Acting("count", Traits(), lambda context: None),
            _Paying("pay", Traits(effect=Effect.EXTERNAL), self._pay, self.effects),
            _Acting("keep", Traits(effect=Effect.LOCAL), lambda context: None),
        ]

    def _post(self, context: ToolContext) -> None:
        if context.key not in self.posted:
            self.posted.add(context.key)
            self.effects[context.key] += 1

    def _pay(self, context: ToolContext) -> None:
        self.effects[context.key] += 1


class _Acting:
    def __init__(self, name: str, traits: Traits, act: Any) -> None:
        self.spec = ToolSpec(name=name, description=name, parameters={"type": "object"})
        self.traits = traits
        self._act = act

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        self._act(context)
        return done(self.spec.name, context)


class _Paying(_Acting):
    """Can tell whether a run of unknown outcome happened."""

    def __init__(self, name: str, traits: Traits, act: Any, effects: Counter[str]) -> None:
        super().__init__(name, traits, act)
        self._effects = effects

    async def reconcile(self, context: ToolContext) -> ToolResult | None:
        return done(self.spec.name, context) if self._effects[context.key] else None


def done(name: str, context: ToolContext) -> ToolResult:
    passages: tuple[NewPassage, ...] = ()
    if name == "count":
        passages = (NewPassage(source="s", title="t", text="x", fetched_at=FETCHED),)
    notes = (NewNote(kind="plan", text="A note."),) if name == "keep" else ()
    return ToolResult(for_model=f"{name} done at {context.key} ⟦0⟧", passages=passages, notes=notes)


class Sceptic:
    """Sends the first answer back."""

    async def check(self, transcript: Transcript, *, ask: Any, may_revise: bool) -> Note:
        is_first = not any(note.kind is NoteKind.CHECK for note in transcript.notes)
        text = "Check it." if is_first else ""
        data = {"must_revise": is_first}
        return Note(step=transcript.steps[-1].number, kind=NoteKind.CHECK, text=text, data=data)


def stage_on(store: MemoryStore, world: World) -> Stage:
    return Stage(*TURN, store=store, tools=world.tools(), verifier=Sceptic())


async def undisturbed() -> tuple[MemoryStore, World, int]:
    store, world = Mortal(), World()
    assert await stage_on(store, world).drive() == Outcome(finish_reason=FinishReason.STOP)
    return store, world, store.num_saves


def shape(store: MemoryStore) -> list[Any]:
    """What a turn has come to, without what differs from run to run."""
    transcript = store.progress([]).transcript
    steps = [
        (step.number, step.reasoning, step.content, [(r.call.id, r.result) for r in step.calls])
        for step in transcript.steps
    ]
    return [steps, transcript.notes, sorted(store.passages), store.progress([]).usage]


@pytest.mark.parametrize("keeps_last", [False, True], ids=["before the commit", "after the commit"])
async def test_a_worker_may_die_at_any_save_and_the_turn_ends_as_if_it_had_not(keeps_last: bool) -> None:
    whole, whole_world, num_saves = await undisturbed()
    assert num_saves > 15
    for dies_at in range(1, num_saves + 1):
        store, world = Mortal(), World()
        store.dies_at, store.keeps_last = dies_at, keeps_last  # type: ignore[attr-defined]
        with pytest.raises(Killed):
            await stage_on(store, world).drive()
        assert await stage_on(store, world).drive() == Outcome(finish_reason=FinishReason.STOP)
        assert shape(store) == shape(whole), f"died at save {dies_at}"
        assert world.effects == whole_world.effects, f"died at save {dies_at}"


async def test_two_workers_may_die_one_after_the_other_at_any_two_saves() -> None:
    whole, whole_world, num_saves = await undisturbed()
    for first in range(1, num_saves, 3):
        for second in range(1, num_saves - first, 4):
            store, world = Mortal(), World()
            for dies_at in (first, first + second):
                store.dies_at = dies_at  # type: ignore[attr-defined]
                with pytest.raises(Killed):
                    await stage_on(store, world).drive()
            store.dies_at = 0  # type: ignore[attr-defined]
            await stage_on(store, world).drive()
            assert shape(store)[0] == shape(whole)[0], f"died at saves {first} and {first + second}"
            assert world.effects == whole_world.effects


# ---- effects that nobody can tell of


class Mute(_Acting):
    """An effect outside, not idempotent, that cannot be looked up; its worker dies in it."""

    def __init__(self, effects: Counter[str], *, is_deadly: bool) -> None:
        super().__init__("pay", Traits(effect=Effect.EXTERNAL), None)
        self._effects = effects
        self.is_deadly = is_deadly

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        self._effects[context.key] += 1
        if self.is_deadly:
            raise Killed
        return done("pay", context)


PAYMENT = (Line(step=1, lines=("call: pay {}",)), Line(step=2, lines=("text: Paid.",)))


async def left_in_the_middle() -> tuple[MemoryStore, Counter[str]]:
    store, effects = MemoryStore(), Counter[str]()
    with pytest.raises(Killed):
        await Stage(*PAYMENT, store=store, tools=[Mute(effects, is_deadly=True)]).drive()
    return store, effects


async def test_an_effect_whose_outcome_nobody_knows_is_not_repeated_a_person_is_asked() -> None:
    store, effects = await left_in_the_middle()
    for _ in range(2):  # woken for nothing, it asks on
        stage = Stage(*PAYMENT, store=store, tools=[Mute(effects, is_deadly=False)])
        assert await stage.drive() == Parked(waiting_for=WaitingFor.OUTCOME)
    assert effects.total() == 1


async def test_a_tool_that_was_away_when_it_was_called_is_not_run_twice_either() -> None:
    store, effects = await left_in_the_middle()
    [key] = store.intents
    store.intents[key] = replace(store.intents[key], effect=Effect.NONE)  # nobody knew what it could do
    stage = Stage(*PAYMENT, store=store, tools=[Mute(effects, is_deadly=False)])
    assert await stage.drive() == Parked(waiting_for=WaitingFor.OUTCOME)
    assert effects.total() == 1


@pytest.mark.parametrize(
    ("decision", "num_effects", "says"),
    [
        (Decision.HAPPENED, 1, "had its effect"),
        (Decision.APPROVED, 2, "pay done"),
        (Decision.REFUSED, 1, "does not want"),
    ],
)
async def test_what_the_person_says_of_a_lost_outcome_is_done(
    decision: Decision, num_effects: int, says: str
) -> None:
    store, effects = await left_in_the_middle()
    tools: list[Tool] = [Mute(effects, is_deadly=False)]
    await Stage(*PAYMENT, store=store, tools=tools).drive()
    [key] = store.intents
    store.decide(key, Decided(decision=decision))
    assert await Stage(*PAYMENT, store=store, tools=tools).drive() == Outcome(finish_reason=FinishReason.STOP)
    assert effects.total() == num_effects
    assert says in store.results[key].for_model


async def test_a_second_death_in_a_run_that_a_person_allowed_asks_again() -> None:
    store, effects = await left_in_the_middle()
    await Stage(*PAYMENT, store=store, tools=[Mute(effects, is_deadly=False)]).drive()
    [key] = store.intents
    store.decide(key, Decided(decision=Decision.APPROVED))
    with pytest.raises(Killed):
        await Stage(*PAYMENT, store=store, tools=[Mute(effects, is_deadly=True)]).drive()
    stage = Stage(*PAYMENT, store=store, tools=[Mute(effects, is_deadly=False)])
    assert await stage.drive() == Parked(waiting_for=WaitingFor.OUTCOME)
    assert effects.total() == 2
