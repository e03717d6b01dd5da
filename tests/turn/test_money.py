"""What a turn costs is held before it begins, settled once when it ends, and stays within its limit."""

from collections.abc import Callable

import pytest

from chat import history
from chat.models import Turn
from inference.backends.scripted import Reply
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from webapp.accounts.models import User
from webapp.billing import accounts
from webapp.billing.models import Account, Hold, UsageRecord
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)

SetPrice = Callable[[str, str], None]
LOOP = (
    Reply(step=1, lines=("text: one two", 'call: calculate {"expression": "1"}')),
    Reply(step=2, lines=("text: three four", 'call: calculate {"expression": "2"}')),
    Reply(lines=("text: five",)),
)


@pytest.fixture
def set_price(scripted_model: ServedModel) -> SetPrice:
    """Per million tokens of input and of output."""

    def set_to(uncached: str, output: str) -> None:
        scripted_model.prices.update(
            input_per_million=uncached, cached_input_per_million="0", output_per_million=output
        )

    return set_to


def test_a_turn_costs_what_its_tokens_cost(
    alice_tab: Tab, alice: User, script: WriteScript, set_price: SetPrice
) -> None:
    set_price("4", "16")
    before = Account.objects.get(user=alice).balance_nano
    script("text: one two three")
    alice_tab.ask("four words of input")
    account = Account.objects.get(user=alice)
    assert before - account.balance_nano == 4 * 4_000 + 3 * 16_000
    assert account.held_nano == 0
    assert accounts.ledger_total_nano(account) == account.balance_nano
    view = history.turn_view(Turn.objects.get())
    assert (str(view.cost), view.currency, view.usage.output_tokens) == ("0.000064", account.currency, 3)


def test_money_is_held_while_a_turn_runs(
    alice_tab: Tab, alice: User, script: WriteScript, set_price: SetPrice
) -> None:
    set_price("4", "16")
    script("text: so far", "stall:")
    turn = alice_tab.start("Hello")
    alice_tab.wait_for("content.delta")
    assert Account.objects.get(user=alice).held_nano >= 8_192 * 16_000
    alice_tab.send("turn.stop", turn=turn)
    alice_tab.wait_for("turn.finished")
    assert Account.objects.get(user=alice).held_nano == 0


def test_the_hold_grows_with_every_step(alice_tab: Tab, script: WriteScript, set_price: SetPrice) -> None:
    set_price("4", "16")
    script(*LOOP)
    frames = alice_tab.ask("Go.", long_thinking=True)
    assert frames[-1]["finish_reason"] == "stop"
    record = UsageRecord.objects.get()
    assert record.num_steps == 3
    assert Hold.objects.get().amount_nano > 8_192 * 16_000 + record.cost_nano - 16_000


def test_a_turn_whose_account_runs_low_goes_on_with_what_is_left(
    alice_tab: Tab, alice: User, script: WriteScript, set_price: SetPrice
) -> None:
    set_price("0", "60")
    Account.objects.filter(user=alice).update(balance_nano=8_192 * 60_000)  # one answer at its longest
    script(*LOOP)
    frames = alice_tab.ask("Go.", long_thinking=True)
    assert (frames[-1]["finish_reason"], frames.text_of("content.delta")) == ("stop", "one twothree fourfive")
    account = Account.objects.get(user=alice)
    assert (account.held_nano, account.balance_nano) == (
        0,
        8_192 * 60_000 - UsageRecord.objects.get().cost_nano,
    )


def test_the_cost_limit_of_a_person_ends_the_turn(
    alice_tab: Tab, script: WriteScript, set_price: SetPrice
) -> None:
    set_price("0", "100")
    script(*LOOP)
    frames = alice_tab.ask("Go.", long_thinking=True, limits={"max_cost": "0.0005"})
    assert frames[-1]["finish_reason"] == "length"
    assert "cost limit" in frames[-1]["error"]
    assert UsageRecord.objects.get().num_steps == 1  # the last: another could not be paid


def test_a_free_turn_is_counted_all_the_same(alice_tab: Tab, script: WriteScript) -> None:
    script("text: free")
    alice_tab.ask("Hello")
    record = UsageRecord.objects.get()
    assert (record.cost_nano, record.output_tokens) == (0, 1)
