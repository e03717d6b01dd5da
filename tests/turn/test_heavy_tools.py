"""Eight trajectories with tools, on real workers: what they look up alike is paid for once."""

import time

import pytest
from django.db.models import Sum

from agents.teams.heavy import HINTS
from chat import tasks
from chat.models import Message, ToolRun, Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.loopforge.ledger import Ledger
from tests.turn.browser import Tab
from tests.turn.outside_tools import outside
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


def finish(tab: Tab, turn: str) -> None:
    """With the sweep that beat would ring each second."""
    deadline = time.monotonic() + WITHIN_S
    while not any(frame["type"] == "turn.finished" and frame["turn"] == turn for frame in tab.frames):
        assert time.monotonic() < deadline, "the turn comes to no end"
        tasks.sweep()
        time.sleep(0.2)


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
