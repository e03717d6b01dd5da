"""What is refused: each in words, with nothing changed."""

import pytest

from chat.models import Conversation, Turn
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from tests.turn.conftest import OpenTab
from webapp.accounts.models import User
from webapp.billing.models import Account, Hold
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db(transaction=True)
CLIENT_ID = "00000000-0000-4000-8000-000000000003"


@pytest.fixture
def tab(open_tab: OpenTab, alice: User) -> Tab:
    """A tab while no Celery worker runs: what is accepted stays queued."""
    return open_tab(alice)


def send(tab: Tab, **fields: object) -> None:
    tab.send("turn.send", **{"client_id": CLIENT_ID, "text": "Hello", "model": "scripted", **fields})


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"text": " \n"}, "empty_message"),
        ({"text": "x" * 400_001}, "message_too_long"),
        ({"model": "gpt-9"}, "unknown_model"),
        ({"conversation": "00000000-0000-4000-8000-00000000dead"}, "unknown_conversation"),
        ({"conversation": "../etc"}, "unknown_conversation"),
        ({"client_id": "1"}, "bad_frame"),
        ({"long_thinking": True, "limits": {"max_steps": 0}}, "bad_limits"),
        ({"long_thinking": True, "limits": {"max_seconds": 10**9}}, "bad_limits"),
        ({"long_thinking": True, "limits": {"max_cost": "much"}}, "bad_limits"),
        ({"long_thinking": True, "limits": {"max_cost": "-1"}}, "bad_limits"),
        ({"long_thinking": True, "limits": {"max_cost": "NaN"}}, "bad_limits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_command_at_fault_is_refused_in_words_and_changes_nothing(
    tab: Tab, fields: dict[str, object], code: str
) -> None:
    send(tab, **fields)
    refused = tab.refused()
    assert refused["code"] == code
    assert len(refused["message"]) > 10
    assert refused["client_id"] == fields.get("client_id", CLIENT_ID)
    assert not Conversation.objects.exists()
    assert not Hold.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "{",
        "[]",
        "null",
        '{"op": "fly"}',
        '{"op": "turn.send"}',
        '{"op": "turn.attach", "turn": 7}',
        "\x00",
        "[" * 10_000,
        '{"op": "ping", "x": ' + "[" * 10_000,
    ],
)
def test_wrong_json_is_refused_and_the_socket_stays(tab: Tab, text: str) -> None:
    tab.send_text(text)
    assert tab.refused()["code"] == "bad_frame"
    tab.send("ping")
    tab.wait_for("pong")


def test_anothers_conversation_does_not_exist(tab: Tab, bob: User) -> None:
    send(tab, conversation=str(Conversation.objects.create(user=bob).id))
    assert tab.refused()["code"] == "unknown_conversation"


def test_anothers_turn_can_be_neither_read_nor_stopped(tab: Tab, open_tab: OpenTab, bob: User) -> None:
    send(tab)
    turn = tab.wait_for("turn.accepted")["turn"]
    stranger = open_tab(bob)
    for op in ("turn.attach", "turn.stop"):
        stranger.send(op, turn=turn)
        refused = stranger.wait_for("refused", where=lambda frame: frame["turn"] == turn)
        assert refused["code"] == "unknown_conversation"
        stranger.frames.clear()
    assert Turn.objects.get().cancel_requested_at is None


def test_a_second_message_waits_for_the_answer_to_the_first(tab: Tab) -> None:
    send(tab)
    conversation = tab.wait_for("turn.accepted")["conversation"]
    send(tab, client_id="00000000-0000-4000-8000-000000000004", conversation=conversation)
    assert tab.refused()["code"] == "turn_running"
    assert Turn.objects.count() == Hold.objects.count() == 1


def test_an_empty_account_is_refused_with_the_numbers(tab: Tab, alice: User) -> None:
    priced = ServedModel.objects.get(name="scripted")
    priced.prices.update(output_per_million="60", input_per_million="4")
    Account.objects.filter(user=alice).update(balance_nano=1_000)
    send(tab)
    refused = tab.refused()
    assert refused["code"] == "insufficient_quota"
    assert "0.49" in refused["message"]
    assert not Turn.objects.exists()


def test_a_model_that_nobody_serves_is_refused_and_the_draft_stays_with_the_page(tab: Tab) -> None:
    ServedModel.objects.filter(name="scripted").update(backend=ServedModel.Backend.LOCAL)
    send(tab)
    refused = tab.refused()
    assert refused["code"] == "backend_unavailable"
    assert "not running" in refused["message"]
    assert not Turn.objects.exists()


def test_too_many_turns_a_minute_are_refused(tab: Tab, settings: pytest.FixtureRequest) -> None:
    settings.TURNS_PER_MINUTE = 1  # type: ignore[attr-defined]
    send(tab)
    tab.wait_for("turn.accepted")
    send(tab, client_id="00000000-0000-4000-8000-000000000005")
    assert tab.refused()["code"] == "rate_limited"
    assert Conversation.objects.count() == 1


def test_a_stranger_is_closed_with_4401(open_tab: OpenTab) -> None:
    assert open_tab(None).wait_closed() == 4401


def test_whoever_signed_out_elsewhere_is_closed_at_the_next_command(tab: Tab) -> None:
    tab.client.logout()
    send(tab)
    assert tab.wait_closed() == 4401
    assert not Turn.objects.exists()


def test_a_refusal_speaks_the_language_of_the_person(
    open_tab: OpenTab, alice: User, script: WriteScript
) -> None:
    alice.language = "zh-hans"
    alice.save()
    tab = open_tab(alice)
    send(tab, text="")
    assert tab.refused()["message"]


def test_a_refusal_for_want_of_money_speaks_it_too(open_tab: OpenTab, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(language="zh-hans")
    ServedModel.objects.get(name="scripted").prices.update(output_per_million="9999")
    tab = open_tab(User.objects.get(pk=alice.pk))
    send(tab)
    refused = tab.refused()
    assert refused["code"] == "insufficient_quota"
    assert "余额" in refused["message"]
