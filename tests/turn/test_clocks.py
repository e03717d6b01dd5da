"""Workers whose clocks disagree by an hour: one takes a turn from another that is alive and well; nothing of
it is lost or doubled, for every write repeats the fence. Time counts as the worker's clock has it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.utils import timezone

from agents import custom_tools
from chat import dispatch, segment, step_rows, turns, warm
from chat.frames import Limits, TurnSend
from chat.models import Turn
from inference.backends.scripted import Reply
from tests.agents.test_crash import World
from tests.conftest import WriteScript
from tests.turn.test_crash import drive_to_the_end, shape
from webapp.accounts.models import User
from webapp.billing.models import Account
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

TURN = (
    Reply(step=1, lines=("think: first", "call: post {}", "call: count {}")),
    Reply(step=2, lines=("think: second", "call: keep {}")),
    Reply(step=3, lines=("text: All is done.",)),
)
HOUR = timedelta(hours=1)
COMMITS = tuple((step_rows, name) for name in ("save_reply", "begin", "save_result", "save_note"))


def ask(user: User) -> Turn:
    """A turn with more time than a clock can be wrong by."""
    limits = Limits(max_seconds=4 * 3_600)
    command = TurnSend(
        client_id=str(uuid4()), text="Do it.", model="scripted", long_thinking=True, limits=limits
    )
    return dispatch.submit_turn(user, command)


class Clocks:
    """Every thread's own idea of the time."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._local = threading.local()
        right = timezone.now
        patch.setattr(timezone, "now", lambda: self._read(right))

    def _read(self, right: Callable[[], datetime]) -> datetime:
        return right() + getattr(self._local, "wrong_by", timedelta())

    @contextmanager
    def wrong(self, by: timedelta) -> Iterator[None]:
        self._local.wrong_by = by
        try:
            yield
        finally:
            self._local.wrong_by = timedelta()


class Rival:
    """Another worker, which drives the turn to its end when the first is at its n-th commit."""

    def __init__(self, patch: pytest.MonkeyPatch, clocks: Clocks) -> None:
        self.num_commits = self.comes_at = 0
        self.comes_after = False
        self.wrong_by = timedelta()
        self.turn_id: Any = None
        self._clocks = clocks
        self._is_there = False
        for module, name in COMMITS:
            patch.setattr(module, name, self._counting(getattr(module, name)))

    def _counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def commit(*args: Any, **kwargs: Any) -> Any:
            if self._is_there:
                return function(*args, **kwargs)
            self.num_commits += 1
            comes = self.num_commits == self.comes_at
            if comes and not self.comes_after:
                self._drive()
            kept = function(*args, **kwargs)
            if comes and self.comes_after:
                self._drive()
            return kept

        return commit

    def _drive(self) -> None:
        self._is_there = True
        thread = threading.Thread(target=self._to_the_end)
        thread.start()
        thread.join()
        self._is_there = False

    def _to_the_end(self) -> None:
        warm.shelf.take(self.turn_id, fence=0)  # it is another process
        try:
            with self._clocks.wrong(self.wrong_by):
                while async_to_sync(segment.drive)(self.turn_id):
                    pass
        finally:
            connections.close_all()


@pytest.mark.parametrize("comes_after", [False, True], ids=["before the commit", "after the commit"])
def test_a_worker_whose_clock_is_an_hour_fast_takes_over_and_nothing_is_lost_or_doubled(
    comes_after: bool,
    monkeypatch: pytest.MonkeyPatch,
    alice: User,
    scripted_model: ServedModel,
    script: WriteScript,
) -> None:
    world = World()
    monkeypatch.setattr(custom_tools, "installed", lambda: tuple(world.tools()))
    rival = Rival(monkeypatch, Clocks(monkeypatch))
    script(*TURN)
    scripted_model.prices.update(input_per_million="4", output_per_million="16")
    first = ask(alice)
    drive_to_the_end(first)
    whole, num_commits, num_effects = shape(first), rival.num_commits, world.effects.total()
    assert num_commits >= 7
    for comes_at in range(1, num_commits + 1):
        world.effects.clear()
        turn = ask(alice)
        rival.turn_id, rival.num_commits, rival.comes_at = turn.id, 0, comes_at
        rival.comes_after, rival.wrong_by = comes_after, HOUR
        drive_to_the_end(turn)
        turn.refresh_from_db()
        assert turn.fence >= 2, "the rival has taken over"
        assert shape(turn) == whole, f"taken over at commit {comes_at}"
        assert world.effects.total() == num_effects, f"taken over at commit {comes_at}"
    assert Account.objects.get(user=alice).held_nano == 0


def test_a_worker_whose_clock_is_an_hour_slow_leaves_others_their_turns_and_loses_its_own_at_most(
    monkeypatch: pytest.MonkeyPatch, alice: User, scripted_model: ServedModel, script: WriteScript
) -> None:
    clocks = Clocks(monkeypatch)
    script("text: There.")
    theirs = ask(alice)
    fence = turns.claim(theirs.id)
    assert fence is not None
    with clocks.wrong(-HOUR):
        assert turns.claim(theirs.id) is None
    turns.pause(theirs.id, fence=fence)
    with clocks.wrong(-HOUR):
        slow = turns.claim(theirs.id)
    assert slow is not None
    taken = turns.claim(theirs.id)  # what it wrote into the lease is long past
    assert taken == slow + 1
    with pytest.raises(turns.TurnLost):
        turns.renew(theirs.id, fence=slow, last_seq=0)
