"""A user with many turns does not keep another's waiting."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connections
from pytest_django import Settings

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
    assert fairness.fairest([also_mine, mine, theirs], mine.turn_id, most_agents=9) == mine.turn_id
    assert (
        fairness.fairest([driven(1, 9), driven(2, 9), mine, theirs], mine.turn_id, most_agents=9)
        == mine.turn_id
    )


def test_whoever_has_the_fewest_driven_comes_first() -> None:
    mine, theirs = waiting(1, 1), waiting(2, 1)
    assert fairness.fairest([driven(1, 9), mine, theirs], mine.turn_id, most_agents=9) == theirs.turn_id
    assert fairness.fairest([driven(1, 9), mine], mine.turn_id, most_agents=9) == mine.turn_id, (
        "nobody waits: no slot idles"
    )


def test_a_ring_for_a_turn_that_is_driven_already_serves_another() -> None:
    busy, other = driven(1, 1), waiting(1, 2)
    assert fairness.fairest([busy, other], busy.turn_id, most_agents=9) == other.turn_id
    assert fairness.fairest([busy], busy.turn_id, most_agents=9) == busy.turn_id


def agent(user: int, number: int, *, is_driven: bool = False) -> Open:
    turn_id = UUID(int=user * 100 + number)
    return Open(turn_id=turn_id, user_id=user, is_driven=is_driven, is_agent=True)


def test_of_a_users_agents_only_so_many_are_driven_at_once() -> None:
    busy = [agent(1, 8, is_driven=True), agent(1, 9, is_driven=True)]
    third, mine, theirs = agent(1, 1), waiting(1, 2), agent(2, 1)
    assert fairness.fairest([*busy, third], third.turn_id, most_agents=2) is None
    assert fairness.fairest([*busy, third], third.turn_id, most_agents=3) == third.turn_id
    assert fairness.fairest([*busy, third, mine], third.turn_id, most_agents=2) == mine.turn_id
    assert fairness.fairest([*busy, third, theirs], third.turn_id, most_agents=2) == theirs.turn_id


@pytest.mark.django_db
def test_an_agent_that_was_held_back_is_found_once_another_has_ended(
    alice: User,
    open_turns: Callable[[User, int], list[UUID]],
    settings: Settings,
) -> None:
    settings.CONCURRENT_AGENTS = 1
    top, first, second = open_turns(alice, 3)
    Turn.objects.exclude(id=top).update(spawned_by=top)
    turns.claim(top)
    fence = turns.claim(first)
    assert fence is not None
    assert (fairness.choose(second), fairness.held_back()) == (None, None)
    assert not fairness.is_wanted(but=first)
    turns.abandon(Turn.objects.select_related("conversation").get(id=first))
    assert fairness.held_back() == second == fairness.choose(second)


@pytest.mark.django_db(transaction=True)
def test_workers_that_are_rung_at_the_same_moment_drive_no_agent_too_many(
    alice: User, open_turns: Callable[[User, int], list[UUID]], settings: Settings
) -> None:
    settings.CONCURRENT_AGENTS = 2
    top, *agents = open_turns(alice, 9)
    Turn.objects.exclude(id=top).update(spawned_by=top)
    at_once = threading.Barrier(len(agents))

    def claim(agent_id: UUID) -> int | None:
        at_once.wait(timeout=30)
        try:
            return turns.claim(agent_id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(agents)) as workers:
        fences = list(workers.map(claim, agents))
    assert sum(fence is not None for fence in fences) == 2
    assert turns.claim(top) is not None, "a turn of the user's own is driven all the same"


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
            assert chosen is not None
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
