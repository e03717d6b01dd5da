"""A worker that dies is missed by nobody: the sweep finds its turn, and another goes on with it."""

import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from chat import conversations, history, tasks, turns
from chat.models import Message, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from tests.turn.test_replay import shown_by
from tests.turn.worker import WorkerProcess
from webapp.accounts.models import User
from webapp.billing.models import Account, Hold, LedgerEntry, UsageRecord
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = " ".join(f"word{number}" for number in range(100))
TURN = (
    Reply(step=1, lines=("text: First. ", 'call: calculate {"expression": "6 * 7"}')),
    Reply(step=2, lines=("pace: 40", f"text: {WORDS}")),
)
RESUME_WITHIN_S = 60.0  # for the sweep that follows the lease's end: a busy machine only makes it later
RESUME_PROMISE_S = 5.0
SWEEP_EVERY_S = 1.0


@pytest.fixture
def start_worker() -> Iterator[Callable[[], WorkerProcess]]:
    workers: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        workers.append(WorkerProcess())
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()


def sweep_until(is_done: Callable[[], bool], *, within_s: float) -> None:
    """What beat does, each second."""
    deadline = time.monotonic() + within_s
    while not is_done():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        tasks.sweep()
        time.sleep(0.2)


def test_a_turn_outlives_the_worker_that_was_killed_in_the_middle_of_an_answer(
    open_tab: OpenTab,
    alice: User,
    scripted_model: ServedModel,
    script: WriteScript,
    start_worker: Callable[[], WorkerProcess],
    record_property: Callable[[str, object], None],
) -> None:
    script(*TURN)
    scripted_model.prices.update(input_per_million="4", output_per_million="16")
    doomed = start_worker()
    tab = open_tab(alice)
    turn = tab.start("Calculate.", long_thinking=True)
    tab.wait_for("content.delta", where=lambda frame: frame["step"] == 2 and frame["seq"] > 15, within_s=60)
    start_worker()
    seen = len(tab.frames)
    doomed.kill()
    killed_at = time.monotonic()
    sweep_until(lambda: len(tab.frames) > seen, within_s=RESUME_WITHIN_S)
    record_property("seconds", time.monotonic() - killed_at)
    tab.wait_for("turn.finished", within_s=60)
    assert settings.TURN_LEASE_S + SWEEP_EVERY_S <= RESUME_PROMISE_S

    row = Turn.objects.get()
    shown = shown_by(tab.of_turn(turn))
    assert shown["content"] == history.turn_view(row).answer == f"First. {WORDS}"
    assert [frame["step"] for frame in tab.of_turn(turn).of("step.started")] == [1, 2, 2]
    assert row.fence == 2
    assert Message.objects.filter(turn=row, role="tool").count() == 1
    [record] = UsageRecord.objects.all()
    assert record.num_steps == 2
    assert record.output_tokens == 6 + 100  # the call that was lost is not billed
    assert [entry.amount_nano for entry in LedgerEntry.objects.filter(kind="usage")] == [-record.cost_nano]
    account = Account.objects.get(user=alice)
    assert account.held_nano == 0


def test_only_one_worker_gets_a_turn(open_tab: OpenTab, alice: User) -> None:
    tab = open_tab(alice)
    tab.start("Hello")
    turn = Turn.objects.get()
    assert [turns.claim(turn.id), turns.claim(turn.id)] == [1, None]


def test_a_worker_that_was_overtaken_can_write_nothing(open_tab: OpenTab, alice: User) -> None:
    open_tab(alice).start("Hello")
    turn = Turn.objects.get()
    first = turns.claim(turn.id)
    Turn.objects.update(lease_until=turn.created_at)
    second = turns.claim(turn.id)
    assert (first, second) == (1, 2)
    with pytest.raises(turns.TurnLost):
        turns.renew(turn.id, fence=1, last_seq=9)
    assert not turns.renew(turn.id, fence=2, last_seq=3).is_cancelled
    assert Turn.objects.get().last_seq == 3


def test_the_sweep_rings_for_a_turn_whose_ring_was_lost(
    open_tab: OpenTab, alice: User, script: WriteScript, celery_worker: None
) -> None:
    script("text: late")
    tab = open_tab(alice)
    turn = tab.start("Hello")
    tab.wait_for("turn.finished")
    Turn.objects.update(status="queued", finish_reason="", lease_until=None, wake_at=None, last_seq=0)
    Message.objects.filter(role="assistant").delete()
    assert turns.take_due() == [Turn.objects.get().id]
    assert turns.take_due() == [], "it is named again only after a while"
    assert turn


def test_a_turn_whose_workers_keep_dying_is_given_up(
    open_tab: OpenTab, alice: User, script: WriteScript
) -> None:
    script("text: never")
    tab = open_tab(alice)
    tab.start("Hello")
    Turn.objects.update(num_lost=50)
    tasks.drive_turn(turn_id=str(Turn.objects.get().id))
    finished = tab.wait_for("turn.finished")
    assert finished["finish_reason"] == "error"
    assert Hold.objects.get().status == Hold.Status.RELEASED


def test_a_second_ring_changes_nothing(alice_tab: Tab, script: WriteScript) -> None:
    script("text: once", "wait: 0.3", "text:  only")
    turn = alice_tab.start("Hello")
    alice_tab.wait_for("content.delta")
    tasks.drive_turn(turn_id=turn)
    alice_tab.wait_for("turn.finished")
    tasks.drive_turn(turn_id=turn)
    assert history.turn_view(Turn.objects.get()).answer == "once only"
    assert UsageRecord.objects.count() == 1


def test_a_deleted_conversation_ends_its_turn_and_gives_the_money_back(
    alice_tab: Tab, script: WriteScript
) -> None:
    script("text: so far", "stall:")
    alice_tab.start("Hello")
    alice_tab.wait_for("content.delta")
    conversations.delete(Turn.objects.get().conversation)
    assert not Turn.objects.exists()
    assert Hold.objects.get().status == Hold.Status.RELEASED
