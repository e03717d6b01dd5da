"""What a small model is offered: few tools, for many confuse it."""

import pytest

from chat import toolsets
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

PLAN = 'call: plan {"lines": [{"text": "Work it out"}]}'
SUM = 'call: calculate {"expression": "2 + 3"}'


def test_a_small_model_has_the_calculator_and_none_of_the_tools_for_long_work(
    alice_tab: Tab, scripted_model: ServedModel, script: WriteScript
) -> None:
    ServedModel.objects.filter(id=scripted_model.id).update(is_small=True)
    script(Reply(step=1, lines=(PLAN, SUM)), Reply(step=2, lines=("text: 5",)))
    frames = alice_tab.ask("2 + 3?", long_thinking=True)
    finished = frames.of("tool_call.finished")
    assert {frame["result"] for frame in finished} == {"There is no tool 'plan'. Tools: calculate.", "5"}


@pytest.mark.parametrize("is_small", [True, False])
def test_what_a_question_is_said_to_cost_counts_the_tools_that_the_model_gets(
    scripted_model: ServedModel, is_small: bool
) -> None:
    scripted_model.is_small = is_small
    names = {spec.name for spec in toolsets.specs_for(scripted_model, long_thinking=True)}
    assert ("plan" in names, "calculate" in names) == (not is_small, True)
