"""Workers whose clocks are an hour wrong, or jump: nobody takes a turn from one who is alive, nobody leaves
a dead one's lying, and no turn ends early, for leases and deadlines go by the database's clock. A worker that
is overtaken all the same loses and doubles nothing, for every write repeats the fence."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import OperationalError, connection, connections
from django.utils import timezone

from agents import custom_tools
from chat import decisions, fairness, segment, step_rows, turns, warm
from chat.models import ToolRun, Turn
from inference.backends.scripted import Reply
from tests.agents.test_crash import World
from tests.conftest import WriteScript
from tests.turn.test_crash import ask, drive_to_the_end, shape
from webapp.accounts.models import User
from webapp.billing.models import Account
from webapp.catalog.models import ServedModel
from webapp.database_clock import FromNow

pytestmark = pytest.mark.django_db(transaction=True)

TURN = (
    Reply(step=1, lines=("think: first", "call: post {}", "call: count {}")),
    Reply(step=2, lines=("think: second", "call: keep {}")),
    Reply(step=3, lines=("text: All is done.",)),
)
HOUR = timedelta(hours=1)
COMMITS = tuple((step_rows, name) for name in ("save_reply", "begin", "save_result", "save_note"))


class Clocks:
    """Every thread's own idea of the time, by `timezone.now`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._local = threading.local()
        right = timezone.now
        patch.setattr(timezone, "now", lambda: self._read(right))

    def jump(self, by: timedelta) -> None:
        """This thread's clock is wrong by this much from now on."""
        self._local.wrong_by = by

    def _read(self, right: Callable[[], datetime]) -> datetime:
        return right() + getattr(self._local, "wrong_by", timedelta())

    @contextmanager
    def wrong(self, by: timedelta) -> Iterator[None]:
        self._local.wrong_by = by
        try:
            yield
        finally:
            self._local.wrong_by = timedelta()


class Commits:
    """Has something happen at each commit of a turn, and not at those that happen meanwhile."""

    def __init__(self, patch: pytest.MonkeyPatch, happens: Callable[[int, bool], None]) -> None:
        self.num = 0
        self._happens = happens
        self._is_happening = False
        for module, name in COMMITS:
            patch.setattr(module, name, self._counting(getattr(module, name)))

    def _counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def commit(*args: Any, **kwargs: Any) -> Any:
            if self._is_happening:
                return function(*args, **kwargs)
            self.num += 1
            self._happen(is_after=False)
            kept = function(*args, **kwargs)
            self._happen(is_after=True)
            return kept

        return commit

    def _happen(self, *, is_after: bool) -> None:
        self._is_happening = True
        try:
            self._happens(self.num, is_after)
        finally:
            self._is_happening = False


class Rival:
    """Another worker, with a clock and connections of its own."""

    def __init__(self, clocks: Clocks, *, wrong_by: timedelta) -> None:
        self._clocks = clocks
        self._wrong_by = wrong_by

    def does(self, work: Callable[[], object]) -> None:
        failed: list[BaseException] = []

        def run() -> None:
            try:
                with self._clocks.wrong(self._wrong_by):
                    work()
            except BaseException as fault:
                failed.append(fault)
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]


def drive(turn: Turn) -> None:
    while async_to_sync(segment.drive)(turn.id):
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(custom_tools, "installed", lambda: tuple(world.tools()))
    return world


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


@pytest.fixture
def model(scripted_model: ServedModel, script: WriteScript) -> ServedModel:
    script(*TURN)
    scripted_model.prices.update(input_per_million="4", output_per_million="16")
    return scripted_model


WRONG = pytest.mark.parametrize("wrong_by", [HOUR, -HOUR], ids=["fast", "slow"])


@WRONG
def test_a_worker_whose_clock_is_an_hour_wrong_takes_nothing_from_one_that_lives(
    wrong_by: timedelta,
    monkeypatch: pytest.MonkeyPatch,
    clocks: Clocks,
    world: World,
    alice: User,
    model: ServedModel,
) -> None:
    monkeypatch.setattr(settings, "TURN_LEASE_S", 600)  # however busy this machine is
    whole_turn = ask(alice)
    drive_to_the_end(whole_turn)
    num_effects = world.effects.total()
    world.effects.clear()
    turn = ask(alice)
    rival = Rival(clocks, wrong_by=wrong_by)

    def tries() -> None:
        warm.shelf.take(turn.id, fence=0)  # it is another process
        assert turns.take_due() == []
        assert turns.claim(turn.id) is None
        assert not async_to_sync(segment.drive)(turn.id)
        assert turns.take_unannounced() == []
        assert [one.is_driven for one in fairness._open_turns()] == [True]

    commits = Commits(monkeypatch, lambda _num, _is_after: rival.does(tries))
    drive_to_the_end(turn)
    assert commits.num >= 7
    turn.refresh_from_db()
    assert turn.fence == whole_turn.fence
    assert shape(turn) == shape(whole_turn)
    assert world.effects.total() == num_effects


@pytest.mark.parametrize("comes_after", [False, True], ids=["before the commit", "after the commit"])
def test_a_worker_that_was_held_for_dead_is_overtaken_and_nothing_is_lost_or_doubled(
    comes_after: bool,
    monkeypatch: pytest.MonkeyPatch,
    clocks: Clocks,
    world: World,
    alice: User,
    model: ServedModel,
) -> None:
    comes_at = 0
    turn = first = ask(alice)
    rival = Rival(clocks, wrong_by=-HOUR)

    def overtakes() -> None:
        warm.shelf.take(turn.id, fence=0)  # it is another process
        drive(turn)

    def happens(num: int, is_after: bool) -> None:
        if num == comes_at and is_after == comes_after:
            Turn.objects.filter(id=turn.id).update(lease_until=FromNow())
            rival.does(overtakes)

    commits = Commits(monkeypatch, happens)
    drive_to_the_end(first)
    whole, num_commits, num_effects = shape(first), commits.num, world.effects.total()
    assert num_commits >= 7
    for at in range(1, num_commits + 1):
        world.effects.clear()
        turn = ask(alice)
        commits.num, comes_at = 0, at
        drive_to_the_end(turn)
        turn.refresh_from_db()
        assert turn.fence >= 2, "the rival has taken over"
        assert shape(turn) == whole, f"taken over at commit {at}"
        assert world.effects.total() == num_effects, f"taken over at commit {at}"
    assert Account.objects.get(user=alice).held_nano == 0


@pytest.mark.parametrize("is_kept", [True, False], ids=["one process", "another process each"])
def test_a_clock_that_jumps_by_an_hour_ends_no_turn_early(
    is_kept: bool,
    monkeypatch: pytest.MonkeyPatch,
    clocks: Clocks,
    world: World,
    alice: User,
    model: ServedModel,
) -> None:
    monkeypatch.setattr(settings, "TURN_SEGMENT_STEPS", 1)
    whole_turn = ask(alice)
    assert whole_turn.max_seconds < HOUR.total_seconds()
    drive_to_the_end(whole_turn)
    turn = ask(alice)

    def jumps(num: int, is_after: bool) -> None:
        clocks.jump((-HOUR, timedelta(), HOUR)[(2 * num + is_after) % 3])

    Commits(monkeypatch, jumps)
    num_segments = 1
    while async_to_sync(segment.drive)(turn.id):
        clocks.jump(HOUR if num_segments % 2 else -HOUR)
        num_segments += 1
        if not is_kept:
            warm.shelf.take(turn.id, fence=0)
    assert num_segments == len(TURN)
    turn.refresh_from_db()
    assert (turn.finish_reason, turn.limit) == ("stop", "")
    assert turn.started_at is not None
    assert turn.finished_at is not None
    assert turn.finished_at - turn.started_at < HOUR / 2
    assert shape(turn) == shape(whole_turn)


@WRONG
def test_what_a_dead_worker_left_is_found_whatever_a_clock_shows(
    wrong_by: timedelta, clocks: Clocks, alice: User, model: ServedModel
) -> None:
    turn = ask(alice)
    with clocks.wrong(wrong_by):
        assert turns.take_due() == [], "it was rung for just now"
        Turn.objects.update(wake_at=FromNow(-0.01))
        assert turns.take_due() == [turn.id]
        assert turns.take_due() == [], "only after a while again"
        fence = turns.claim(turn.id)
        assert fence == 1
        assert turns.claim(turn.id) is None
    assert turns.claim(turn.id) is None, "what the wrong one wrote is right"
    Turn.objects.update(lease_until=FromNow(-0.01))
    with clocks.wrong(wrong_by):
        assert turns.take_due() == [turn.id]
        assert turns.claim(turn.id) == 2
    with pytest.raises(turns.TurnLost):
        turns.renew(turn.id, fence=1, last_seq=0)


@WRONG
def test_a_call_expires_when_its_time_is_over_whatever_a_clock_shows(
    wrong_by: timedelta, clocks: Clocks, alice: User, model: ServedModel
) -> None:
    run = ToolRun.objects.create(
        turn=ask(alice),
        step=1,
        index=0,
        call_id="c",
        tool="post",
        key="k",
        effect="external",
        state=ToolRun.State.WAITING,
        waiting_for="approval",
        expires_at=timezone.now() + timedelta(minutes=10),
    )
    with clocks.wrong(wrong_by):
        assert decisions.expire_due() == []
        ToolRun.objects.filter(id=run.id).update(expires_at=FromNow(-0.01))
        assert decisions.expire_due() == [run.turn_id]


def test_a_worker_that_cannot_keep_its_lease_stops_when_it_has_run_out(
    monkeypatch: pytest.MonkeyPatch, alice: User, scripted_model: ServedModel, script: WriteScript
) -> None:
    def fails(*_args: Any, **_kwargs: Any) -> turns.News:
        raise OperationalError("the database is away")

    script("stall:")
    turn = ask(alice)
    monkeypatch.setattr(settings, "TURN_LEASE_S", 1)
    monkeypatch.setattr(segment, "RENEW_S", 0.05)
    with monkeypatch.context() as away:
        away.setattr(turns, "renew", fails)
        assert not async_to_sync(segment.drive)(turn.id)
    turn.refresh_from_db()
    assert (turn.status, turn.fence, turn.next_step) == ("running", 1, 1)
    assert turn.lease_until is not None, "it writes nothing any more"
    script("text: There.")
    drive_to_the_end(turn)
    assert (turn.finish_reason, turn.fence) == ("stop", 2)


def test_the_database_tells_the_time_in_the_form_it_keeps_it_in_and_finds_by_it(
    alice: User, model: ServedModel
) -> None:
    turn = ask(alice)
    Turn.objects.update(lease_until=FromNow(0.25))
    before = timezone.now()
    row = Turn.objects.annotate(now=FromNow(), later=FromNow(1.5), earlier=FromNow(-90)).get(id=turn.id)
    assert abs(vars(row)["now"] - before) < HOUR / 60
    assert vars(row)["later"] - vars(row)["now"] == timedelta(seconds=1.5)
    assert vars(row)["now"] - vars(row)["earlier"] == timedelta(seconds=90)
    Turn.objects.update(lease_until=vars(row)["now"])
    assert Turn.objects.filter(lease_until__lte=FromNow()).exists()
    assert not Turn.objects.filter(lease_until__lte=FromNow(-60)).exists()
    assert Turn.objects.filter(lease_until__lt=FromNow(0.001)).exists()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        left = Turn.objects.filter(status=Turn.Status.FINISHED, lease_until__lte=FromNow()).order_by()
        plan = left.explain()
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_seqscan; RESET enable_bitmapscan")
    assert "turn_sweep" in plan
    assert "lease_until<" in plan or "lease_until <=" in plan
