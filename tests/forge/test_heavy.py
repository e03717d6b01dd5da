"""Heavy mode against a strict provider over HTTP."""

import time

import pytest

from chat import tasks
from chat.models import Message, ToolRun, Turn
from inference.schema import FinishReason
from tests.forge.conftest import Forge
from tests.turn.browser import Tab
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)


def test_eight_trajectories_and_their_synthesis_pass_a_strict_provider(
    alice_tab: Tab, forge: Forge, forge_model: ServedModel
) -> None:
    turn = alice_tab.start(
        "Calculate. forge: steps=3 seed=4 tools=calculate",
        model=forge_model.name,
        long_thinking=True,
        effort="heavy",
    )
    deadline = time.monotonic() + 60
    while not Turn.objects.filter(id=turn, status="finished").exists():
        assert time.monotonic() < deadline, "the turn comes to no end"
        tasks.sweep()
        time.sleep(0.2)
    row = Turn.objects.get(id=turn)
    assert (row.finish_reason, row.error) == (FinishReason.STOP, "")
    agents = Turn.objects.filter(spawned_by=row)
    assert agents.count() == 8
    assert set(agents.values_list("finish_reason", flat=True)) <= {"stop", "cancelled"}
    assert ToolRun.objects.filter(turn__spawned_by=row).count() >= 5 * 3
    data = Message.objects.get(turn=row, kind="team").data
    assert sum(vote["votes"] for vote in data["votes"]) >= 5
    assert forge.num_asked >= 5 * 4 + 1
