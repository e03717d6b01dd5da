"""A Celery worker that dies between any two commits: the next one ends the turn as if nothing had happened,
with the same rows, the same bill and nothing done twice."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from asgiref.sync import async_to_sync

from agents import custom_tools
from chat import dispatch, events, history, segment, step_rows, transcripts, turns, warm
from chat.frames import TurnSend
from chat.models import ToolRun, Turn
from inference.backends.scripted import Reply
from tests.agents.test_crash import World
from tests.conftest import WriteScript
from webapp.accounts.models import User
from webapp.billing.models import Account, LedgerEntry, UsageRecord
from webapp.catalog.models import ServedModel
from webapp.database_clock import FromNow

pytestmark = pytest.mark.django_db(transaction=True)

TURN = (
    Reply(step=1, lines=("think: first", "call: post {}", "call: count {}")),
    Reply(step=2, lines=("think: second", "call: pay {}", "call: keep {}")),
    Reply(step=3, lines=("text: All is done.",)),
)
COMMITS = (
    (step_rows, "save_reply"),
    (step_rows, "begin"),
    (step_rows, "save_result"),
    (step_rows, "save_note"),
    (turns, "finish"),
    (turns, "announced"),
)


class Killed(BaseException):
    """The worker is gone: nothing catches this."""


class Doom:
    """Kills the worker at its n-th commit, before or after it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.num_commits = self.dies_at = 0
        self.keeps_last = False
        for module, name in COMMITS:
            patch.setattr(module, name, self._counting(getattr(module, name)))

    def _counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def commit(*args: Any, **kwargs: Any) -> Any:
            self.num_commits += 1
            dies = self.num_commits == self.dies_at
            if dies and not self.keeps_last:
                raise Killed
            kept = function(*args, **kwargs)
            if dies:
                raise Killed
            return kept

        return commit


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(custom_tools, "installed", lambda: tuple(world.tools()))
    return world


@pytest.fixture
def doom(monkeypatch: pytest.MonkeyPatch) -> Doom:
    return Doom(monkeypatch)


def ask(user: User) -> Turn:
    command = TurnSend(client_id=str(uuid4()), text="Do it.", model="scripted", long_thinking=True)
    return dispatch.submit_turn(user, command)


def drive_to_the_end(turn: Turn) -> int:
    """As Celery and the sweep would, with workers that may die: how many did."""
    num_deaths = 0
    for _ in range(20):
        try:
            while async_to_sync(segment.drive)(turn.id):
                pass
        except Killed:
            num_deaths += 1
        warm.shelf.take(turn.id, fence=0)  # what the dead one knew is gone
        Turn.objects.exclude(lease_until=None).update(lease_until=FromNow())
        for unannounced in turns.take_unannounced():
            async_to_sync(segment.announce)(unannounced)
        turn.refresh_from_db()
        if turn.status == Turn.Status.FINISHED and turn.lease_until is None:
            return num_deaths
    raise AssertionError("the turn does not end")


def shape(turn: Turn) -> list[Any]:
    """What the turn has come to, without what differs from run to run."""
    transcript = transcripts.read(turn)
    steps = [
        (step.number, step.reasoning, step.content, [(r.call, _text(r.result, turn)) for r in step.calls])
        for step in transcript.steps
    ]
    runs = ToolRun.objects.filter(turn=turn).order_by("step", "index").values_list("tool", "state", "index")
    bill = UsageRecord.objects.get(hold=turn.hold_id)
    paid = LedgerEntry.objects.filter(hold=turn.hold_id).values_list("amount_nano", flat=True)
    usage = (bill.cost_nano, bill.num_steps, bill.output_tokens, bill.input_uncached_tokens, list(paid))
    return [steps, transcript.notes, list(runs), usage, turn.finish_reason]


def _text(result: Any, turn: Turn) -> str:
    return result.for_model.replace(str(turn.id), "turn") if result else ""


def told(turn: Turn) -> tuple[list[str], list[str]]:
    """What a reader of the whole log is shown in the end, and what the rows show."""
    entries = async_to_sync(_log_of)(turn)
    stored = history.shown_events(turn, history.steps_of(turn))
    return _plainly(events.Shown(entries).events[:-1]), _plainly(stored)


async def _log_of(turn: Turn) -> list[Any]:
    async with events.client() as connection:
        return [events.decode(entry) for entry in await events.read(connection, turn.id)]


def _plainly(shown: list[Any]) -> list[str]:
    timed = ("at_ms", "duration_ms", "num_tokens")
    plain = [msgspec.to_builtins(event) for event in shown]
    # Calls of one step end in any order; a database may keep the names in JSON in another.
    kept = [{name: value for name, value in one.items() if name not in timed} for one in plain]
    return sorted(json.dumps(one, sort_keys=True) for one in kept)


@pytest.mark.parametrize("keeps_last", [False, True], ids=["before the commit", "after the commit"])
def test_a_worker_may_die_at_any_commit_and_the_turn_ends_as_if_it_had_not(
    keeps_last: bool,
    doom: Doom,
    world: World,
    alice: User,
    scripted_model: ServedModel,
    script: WriteScript,
) -> None:
    script(*TURN)
    scripted_model.prices.update(input_per_million="4", output_per_million="16")
    first = ask(alice)
    drive_to_the_end(first)
    whole, num_commits, num_effects = shape(first), doom.num_commits, world.effects.total()
    assert num_commits >= 10
    for dies_at in range(1, num_commits + 1):
        world.effects.clear()
        doom.num_commits, doom.dies_at, doom.keeps_last = 0, dies_at, keeps_last
        turn = ask(alice)
        assert drive_to_the_end(turn) == 1
        assert shape(turn) == whole, f"died at commit {dies_at}"
        assert world.effects.total() == num_effects, f"died at commit {dies_at}"
        heard, stored = told(turn)
        assert heard == stored, f"died at commit {dies_at}"
    assert Account.objects.get(user=alice).held_nano == 0
