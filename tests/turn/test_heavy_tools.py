"""Eight trajectories on real workers: what they look up alike is paid for once, and so is what a worker that
was killed had begun."""

import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from django.db.models import Sum

from agents.teams.heavy import HINTS
from chat import tasks
from chat.models import Message, ToolRun, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.loopforge.ledger import Ledger
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from tests.turn.outside_tools import outside
from tests.turn.worker import WorkerProcess
from webapp.accounts.models import User
from webapp.billing.models import Account, UsageRecord
from webapp.catalog.models import ServedModel

__all__ = ["outside"]

pytestmark = pytest.mark.django_db(transaction=True)

NUM_ALIKE, NUM_OWN = 10, 2  # calls of a trajectory that all make, and that it alone makes
WITHIN_S = 60.0


def calls(pages: range) -> tuple[str, ...]:
    return tuple(f'call: gazette {{"page": {page}}}' for page in pages)


def trajectories() -> list[Reply]:
    own = [
        Reply(step=2, when=hint[:20], lines=calls(range(100 + NUM_OWN * index, 100 + NUM_OWN * (index + 1))))
        for index, (_, hint) in enumerate(HINTS)
    ]
    alike = Reply(step=1, when="Final answer: ", lines=calls(range(NUM_ALIKE)))
    # They never agree: none is stopped before it has paid.
    ends = [
        Reply(when=hint[:20], lines=(f"text: Final answer: {number}",))
        for number, (_, hint) in enumerate(HINTS)
    ]
    return [alike, *own, *ends]


@pytest.fixture
def workers(transactional_db: None) -> Iterator[list[WorkerProcess]]:
    """Two, of which a test may kill the first."""
    started = [WorkerProcess(), WorkerProcess()]
    yield started
    for worker in started:
        worker.stop()


def wait_until(is_so: Callable[[], bool]) -> None:
    """With the sweep that beat would ring each second."""
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, "it never comes to pass"
        tasks.sweep()
        time.sleep(0.2)


def finish(tab: Tab, turn: str) -> None:
    wait_until(lambda: any(frame["type"] == "turn.finished" for frame in tab.of_turn(turn)))


def test_eight_paths_pay_for_their_tools_at_most_two_and_a_half_times_what_one_pays(
    alice_tab: Tab, alice: User, scripted_model: ServedModel, script: WriteScript, outside: Ledger
) -> None:
    script(*trajectories(), Reply(lines=("text: No.",)))
    scripted_model.prices.update(input_per_million="4", output_per_million="16")
    turn = alice_tab.start("Is there news?", long_thinking=True, effort="heavy")
    finish(alice_tab, turn)
    row = Turn.objects.get(id=turn)
    paid, of_one = outside.num_attempts("gazette"), NUM_ALIKE + NUM_OWN
    assert ToolRun.objects.filter(turn__spawned_by=row, tool="gazette").count() == 8 * of_one
    assert paid == NUM_ALIKE + 8 * NUM_OWN
    assert paid <= 2.5 * of_one
    frames = alice_tab.of_turn(turn)
    assert len({frame["agent"] for frame in frames.of("agent.started")}) == 8
    assert len({frame["agent"] for frame in frames.of("agent.finished")}) == 8
    assert frames.text_of("content.delta") == "No."
    assert len(Message.objects.get(turn=row, kind="team").data["votes"]) == 8
    assert not Turn.objects.exclude(status="finished").exists()
    bills = UsageRecord.objects.aggregate(total=Sum("cost_nano"))["total"]
    row.refresh_from_db()
    assert (row.budget_spent_nano, row.budget_reserved_nano) == (bills, 0)
    assert Account.objects.get(user=alice).held_nano == 0


@pytest.mark.faults
@pytest.mark.slow
def test_a_worker_killed_among_its_trajectories_costs_nobody_anything(
    open_tab: OpenTab,
    alice: User,
    scripted_model: ServedModel,
    script: WriteScript,
    workers: list[WorkerProcess],
) -> None:
    words = " ".join(f"word{number}" for number in range(60))
    path = ('call: calculate {"expression": "6 * 7"}',)
    script(
        Reply(step=1, when="Final answer: ", lines=path),
        Reply(step=2, when="Final answer: ", lines=("pace: 40", f"text: {words}. Final answer: 42")),
        Reply(lines=("text: It is 42.",)),
    )
    scripted_model.prices.update(input_per_million="4", output_per_million="16")
    tab = open_tab(alice)
    turn = tab.start("What is it?", long_thinking=True, effort="heavy")
    wait_until(lambda: Message.objects.filter(turn__spawned_by=UUID(turn), role="tool").count() >= 3)
    workers[0].kill()
    finish(tab, turn)
    row = Turn.objects.get(id=turn)
    assert (row.finish_reason, tab.of_turn(turn).text_of("content.delta")) == ("stop", "It is 42.")
    agents = Turn.objects.filter(spawned_by=row)
    assert agents.count() == 8
    wait_until(lambda: not agents.exclude(status="finished").exists())
    bills = UsageRecord.objects.aggregate(total=Sum("cost_nano"))["total"]
    row.refresh_from_db()
    assert (row.budget_spent_nano, row.budget_reserved_nano) == (bills, 0)
    steps = Message.objects.filter(role="assistant").values("turn", "step")
    assert steps.distinct().count() == steps.count(), "no step is there twice"
    assert Account.objects.get(user=alice).held_nano == 0
