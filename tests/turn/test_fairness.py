"""A user with many turns does not keep another's waiting."""

import queue
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connections

from chat import fairness, turns
from chat.fairness import Open
from chat.models import Conversation, Turn
from tests.conftest import WriteScript
from webapp.accounts.models import User
from webapp.billing import holds
from webapp.catalog.models import ServedModel

SLOTS = 8
SEGMENT_S = 0.05


def waiting(user: int, number: int = 0) -> Open:
    return Open(turn_id=UUID(int=user * 100 + number), user_id=user, is_driven=False)


def driven(user: int, number: int) -> Open:
    return Open(turn_id=UUID(int=user * 100 + number), user_id=user, is_driven=True)


def test_the_turn_that_was_rung_for_is_driven_while_nobody_has_less() -> None:
    mine, also_mine, theirs = waiting(1, 1), waiting(1, 2), waiting(2, 1)
    assert fairness.fairest([also_mine, mine, theirs], mine.turn_id) == mine.turn_id
    assert fairness.fairest([driven(1, 9), driven(2, 9), mine, theirs], mine.turn_id) == mine.turn_id


def test_whoever_has_the_fewest_driven_comes_first() -> None:
    mine, theirs = waiting(1, 1), waiting(2, 1)
    assert fairness.fairest([driven(1, 9), mine, theirs], mine.turn_id) == theirs.turn_id
    assert fairness.fairest([driven(1, 9), mine], mine.turn_id) == mine.turn_id, "nobody waits: no slot idles"


def test_a_ring_for_a_turn_that_is_driven_already_serves_another() -> None:
    busy, other = driven(1, 1), waiting(1, 2)
    assert fairness.fairest([busy, other], busy.turn_id) == other.turn_id
    assert fairness.fairest([busy], busy.turn_id) == busy.turn_id


@pytest.mark.django_db
def test_a_worker_goes_on_with_its_turn_only_while_no_other_waits(
    alice: User, open_turns: Callable[[User, int], list[UUID]]
) -> None:
    mine, other = open_turns(alice, 2)
    assert fairness.is_wanted(but=mine)
    turns.claim(other)
    assert not fairness.is_wanted(but=mine)


@pytest.fixture
def open_turns(scripted_model: ServedModel) -> Callable[[User, int], list[UUID]]:
    """So many queued turns of a user."""

    def opened(user: User, number: int) -> list[UUID]:
        made = []
        for _ in range(number):
            hold = holds.place(
                user, model=scripted_model, max_input_tokens=0, max_output_tokens=0, ttl=timedelta(hours=1)
            )
            turn = Turn.objects.create(
                conversation=Conversation.objects.create(user=user),
                client_id=uuid4(),
                model=scripted_model,
                hold=hold,
                max_steps=9,
                max_seconds=9,
                max_reasoning_tokens=9,
                max_output_tokens=9,
            )
            made.append(turn.id)
        return made

    return opened


class Workers:
    """As many threads as slots, and their doorbell: what Celery is, with segments that only last."""

    def __init__(self, segments: int) -> None:
        self.rings: queue.Queue[UUID] = queue.Queue()
        self.driven: list[UUID] = []  # a turn for each segment, in the order they began
        self._left: dict[UUID, int] = {}
        self._segments = segments
        self._lock = threading.Lock()
        self._is_over = threading.Event()

    def run(self, seconds: float) -> None:
        threads = [threading.Thread(target=self._serve) for _ in range(SLOTS)]
        for thread in threads:
            thread.start()
        self._is_over.wait(seconds)
        self._is_over.set()
        for thread in threads:
            thread.join()

    def _serve(self) -> None:
        while not self._is_over.is_set():
            try:
                rung = self.rings.get(timeout=0.05)
            except queue.Empty:
                continue
            chosen = fairness.choose(rung)
            if self._drive(chosen):
                self.rings.put(chosen)
            elif chosen != rung:
                self.rings.put(rung)
        connections.close_all()

    def _drive(self, turn_id: UUID) -> bool:
        fence = turns.claim(turn_id)
        if fence is None:
            return False
        with self._lock:
            self.driven.append(turn_id)
            self._left[turn_id] = self._left.get(turn_id, self._segments) - 1
        time.sleep(SEGMENT_S)
        if self._left[turn_id] > 0:
            turns.pause(turn_id, fence=fence)
            return True
        Turn.objects.filter(id=turn_id).update(status="finished", lease_until=None)
        if not Turn.objects.exclude(status="finished").exists():
            self._is_over.set()
        return False


@pytest.mark.django_db(transaction=True)
def test_two_turns_of_one_user_are_driven_within_a_segment_though_another_has_forty(
    alice: User,
    bob: User,
    open_turns: Callable[[User, int], list[UUID]],
    script: WriteScript,
    record_property: Callable[[str, object], None],
) -> None:
    workers = Workers(segments=3)
    for turn_id in open_turns(alice, 40):
        workers.rings.put(turn_id)
    of_bob: list[UUID] = []
    before: list[int] = []

    def bob_comes() -> None:
        of_bob.extend(open_turns(bob, 2))
        before.append(len(workers.driven))
        for turn_id in of_bob:
            workers.rings.put(turn_id)
        connections.close_all()

    threading.Timer(SEGMENT_S * 1.5, bob_comes).start()
    workers.run(seconds=20)
    waited = [workers.driven.index(turn_id) - before[0] for turn_id in of_bob]
    record_property("segments that began before those of bob", waited)
    assert max(waited) <= SLOTS, "in the order of the rings it would be four times that"
    assert len(set(workers.driven)) == 42
    assert not Turn.objects.exclude(status="finished").exists(), "no ring is lost: all forty are done, too"
