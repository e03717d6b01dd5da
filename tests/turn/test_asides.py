"""Model calls beside the steps cost what they cost, once, wherever their worker dies."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import Sum

from chat import dispatch, step_rows, turns
from chat.frames import TurnSend
from chat.models import Message, Turn
from inference.backends.scripted import Reply
from inference.schema import Usage
from tests.conftest import WriteScript
from tests.turn.test_crash import Killed, drive_to_the_end
from tests.turn.test_verification import SEARCH, installed_search
from webapp.accounts.models import User
from webapp.billing import prices, pricing
from webapp.billing.models import Account, UsageRecord
from webapp.catalog.models import ServedModel

__all__ = ["installed_search"]
pytestmark = pytest.mark.django_db(transaction=True)

RULING = {"verdicts": [{"id": 1, "verdict": "supported", "evidence": "It freezes in most winters"}]}
JUDGED = (
    Reply(when="The JSON with a verdict", lines=(f"text: {json.dumps(RULING)}",)),
    SEARCH,
    Reply(step=2, lines=("text: Orsa mostly freezes in winters [1].",)),
)
COMMITS = ((step_rows, "save_aside"), (step_rows, "save_note"), (turns, "finish"))


def ask(user: User, **terms: Any) -> Turn:
    command = TurnSend(
        client_id=str(uuid4()), text="Does it freeze?", model="scripted", long_thinking=True, effort="high"
    )
    return dispatch.submit_turn(user, command)


def cost_of(turn: Turn) -> int:
    """What the stored calls cost, by themselves."""
    messages = Message.objects.filter(turn=turn)
    columns = ("input_uncached_tokens", "input_cached_tokens", "output_tokens", "reasoning_tokens")
    price = Turn.objects.select_related("hold__price").get(id=turn.id).hold.price
    assert price is not None
    rates = prices.rates_of(price)
    usage = Usage(**messages.aggregate(**{name: Sum(name, default=0) for name in columns}))
    return pricing.cost_nano(rates, usage)


def dying(patch: pytest.MonkeyPatch, module: Any, name: str, *, keeps_last: bool) -> Callable[[], None]:
    """Have a worker die at its first such commit: what lets it live again."""
    function = getattr(module, name)

    def commit(*args: Any, **kwargs: Any) -> Any:
        if keeps_last:
            function(*args, **kwargs)
        patch.setattr(module, name, function)
        raise Killed

    patch.setattr(module, name, commit)
    return lambda: patch.setattr(module, name, function)


@pytest.mark.parametrize("keeps_last", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize(("module", "name"), COMMITS)
def test_a_call_on_the_side_is_paid_once_wherever_its_worker_dies(
    module: Any,
    name: str,
    keeps_last: bool,
    monkeypatch: pytest.MonkeyPatch,
    alice: User,
    scripted_model: ServedModel,
    script: WriteScript,
) -> None:
    script(*JUDGED)
    scripted_model.prices.update(input_per_million="4", output_per_million="16")
    turn = ask(alice)
    dying(monkeypatch, module, name, keeps_last=keeps_last)
    assert drive_to_the_end(turn) == 1
    # Who dies behind the judge's call and before its note has the judge asked again: that is another call.
    asides = Message.objects.filter(turn=turn, role=Message.Role.ASIDE)
    note_is_lost = (name, keeps_last) in [("save_aside", True), ("save_note", False)]
    assert asides.count() == 1 + note_is_lost
    turn.refresh_from_db()
    bill = UsageRecord.objects.get(hold=turn.hold_id)
    assert bill.cost_nano == cost_of(turn) == turn.budget_spent_nano > 0
    assert (turn.budget_reserved_nano, turn.call_reserved_nano) == (0, 0)
    assert Account.objects.get(user=alice).held_nano == 0


def test_a_judge_that_says_nothing_is_paid_too(
    alice: User, scripted_model: ServedModel, script: WriteScript
) -> None:
    mute = Reply(when="The JSON with a verdict", lines=("think: hm hm", "finish: length"))
    script(mute, *JUDGED[1:])
    scripted_model.prices.update(input_per_million="4", output_per_million="16")
    turn = ask(alice)
    drive_to_the_end(turn)
    assert Message.objects.filter(turn=turn, role=Message.Role.ASIDE).count() == 1
    turn.refresh_from_db()
    assert UsageRecord.objects.get(hold=turn.hold_id).cost_nano == cost_of(turn) == turn.budget_spent_nano
