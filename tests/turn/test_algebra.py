"""Algebra in a whole turn, and who is offered it."""

import pytest

from agents.sandbox import tiers
from agents.tools.calculate import Calculate
from chat import toolsets
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

SOLVE = 'call: calculate {"expression": "solve(x^2 = 2, x)"}'


@pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine")
def test_an_equation_is_solved_in_a_turn(alice_tab: Tab, script: WriteScript) -> None:
    script(Reply(step=1, lines=(SOLVE,)), Reply(step=2, lines=("text: Both roots of two.",)))
    frames = alice_tab.ask("Solve it.", long_thinking=True)
    [result] = [frame["result"] for frame in frames.of("tool_call.finished")]
    assert result == "[-sqrt(2) ≈ -1.4142135623731, sqrt(2) ≈ 1.4142135623731]"


def test_a_small_model_is_told_of_arithmetic_alone(alice_tab: Tab, script: WriteScript) -> None:
    ServedModel.objects.update(is_small=True)
    model = ServedModel.objects.get(name="scripted")
    assert toolsets.specs_for(model, long_thinking=True)[0] == Calculate.spec
    assert "solve" not in Calculate.spec.description
    script(Reply(step=1, lines=(SOLVE,)), Reply(step=2, lines=("text: I cannot.",)))
    frames = alice_tab.ask("Solve it.", long_thinking=True)
    [result] = [frame["result"] for frame in frames.of("tool_call.finished")]
    assert "write numbers, operators and functions only" in result
