"""What a person writes while a turn is under way is said when that has ended, or to it at once: never lost,
never twice."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from chat import queueing
from chat.frames import TurnSend
from chat.models import Conversation, Message, QueuedMessage, Turn
from chat.refusals import Refusal
from inference.backends.scripted import Reply
from tests import services
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = Reply(when="First", step=1, lines=("pace: 20", "think: " + "word " * 60, "text: One."))
SECOND = Reply(when="Second", step=1, lines=("text: Two.",))


def message(text: str, turn: Turn, **fields: object) -> TurnSend:
    known = {"client_id": str(uuid4()), "model": "scripted", "conversation": str(turn.conversation_id)}
    return TurnSend(text=text, **{**known, **fields})  # type: ignore[arg-type]  # fields of the frame


def begin(tab: Tab, text: str = "First", **settings: object) -> Turn:
    turn = Turn.objects.get(id=tab.start(text, **settings))
    tab.wait_for("reasoning.delta")
    return turn


def turns_of(turn: Turn) -> list[Turn]:
    return list(turn.conversation.turns.order_by("created_at"))


def asked(turn: Turn) -> str:
    return turn.messages.get(role=Message.Role.USER).parts.get().text


def sweep_until(is_so: object) -> None:
    def swept() -> bool:
        queueing.go_on()
        return bool(is_so())  # type: ignore[operator]

    services.wait_until(swept, within_s=30, what="the queue to go on")


def test_a_queued_message_is_said_once_when_the_turn_has_ended(
    alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    script(SLOW, SECOND)
    turn = begin(alice_tab, long_thinking=True)
    command = message("Second", turn)
    queueing.add(alice, command)
    queueing.add(alice, command)  # sent again after a cut
    queueing.go_on()
    assert len(turns_of(turn)) == 1  # it is under way
    alice_tab.wait_for("turn.finished")
    sweep_until(lambda: len(turns_of(turn)) == 2)
    queueing.go_on()
    queueing.add(alice, command)  # a resend that comes late
    first, second = turns_of(turn)
    assert (asked(second), second.parent_id) == ("Second", first.id)
    assert not QueuedMessage.objects.exists()


def test_what_is_said_to_a_turn_is_read_before_its_next_step(
    alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    script(
        Reply(
            step=1,
            lines=("pace: 20", "think: " + "word " * 100, 'call: calculate {"expression": "6 * 7"}'),
        ),
        Reply(step=2, lines=("pace: 20", "think: " + "word " * 200, 'call: calculate {"expression": "1"}')),
        Reply(step=3, lines=("text: Done.",)),
    )
    turn = begin(alice_tab, long_thinking=True)
    queueing.add(alice, message("Only 2015, please.", turn), steers=True)
    note = alice_tab.wait_for("note.added", where=lambda frame: frame["kind"] == "steer")
    assert note["data"]["said"] == "Only 2015, please."
    alice_tab.wait_for("turn.finished")
    queueing.go_on()
    assert len(turns_of(turn)) == 1
    assert not QueuedMessage.objects.exists()
    kept = turn.messages.get(role=Message.Role.NOTE, kind="steer")
    assert turn.messages.filter(role=Message.Role.ASSISTANT, step__gt=kept.step).exists()


def test_what_a_turn_ended_unread_of_becomes_the_next_message(
    alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    script(SLOW, SECOND)
    turn = begin(alice_tab, long_thinking=True)
    queueing.add(alice, message("Second", turn), steers=True)
    assert QueuedMessage.objects.get().steers_id == turn.id
    alice_tab.wait_for("turn.finished")
    sweep_until(lambda: len(turns_of(turn)) == 2)
    assert asked(turns_of(turn)[1]) == "Second"
    assert not turn.messages.filter(kind="steer").exists()


def test_after_a_stop_the_queue_waits_for_the_person(
    alice_tab: Tab, alice: User, script: WriteScript, client: Client
) -> None:
    script(SLOW, SECOND)
    turn = begin(alice_tab, long_thinking=True)
    queueing.add(alice, message("Second", turn))
    alice_tab.send("turn.stop", turn=str(turn.id))
    alice_tab.wait_for("turn.finished")
    queueing.go_on()
    assert len(turns_of(turn)) == 1
    client.force_login(alice)
    row = QueuedMessage.objects.get()
    url = reverse("queued", args=[turn.conversation_id, row.pk])
    page = client.post(url, {"action": "edit", "text": "Second, please"}, headers={"HX-Request": "true"})
    assert "These wait for you" in page.content.decode()
    client.post(url, {"action": "send"}, headers={"HX-Request": "true"})
    assert [asked(one) for one in turns_of(turn)] == ["First", "Second, please"]


def test_a_message_that_cannot_be_sent_says_why_and_stays(
    alice_tab: Tab, alice: User, script: WriteScript
) -> None:
    script(Reply(when="First", step=1, lines=("text: One.",)))
    turn = Turn.objects.get(id=alice_tab.start("First"))
    alice_tab.wait_for("turn.finished")
    wishes = {"model": "gone"}
    QueuedMessage.objects.create(id=uuid4(), conversation=turn.conversation, text="x", wishes=wishes)
    queueing.go_on()
    assert "There is no model gone" in QueuedMessage.objects.get().fault
    queueing.go_on()  # it is not tried again and again
    assert len(turns_of(turn)) == 1


def test_the_queue_has_an_end_and_an_owner(alice: User, bob: User, scripted_model: object) -> None:
    chat = Conversation.objects.create(user=alice)
    for number in range(queueing.MOST):
        QueuedMessage.objects.create(id=uuid4(), conversation=chat, text=str(number))
    command = TurnSend(client_id=str(uuid4()), text="one more", model="scripted", conversation=str(chat.pk))
    for user, code in ((alice, "queue_full"), (bob, "unknown_conversation")):
        with pytest.raises(Refusal) as refused:
            queueing.add(user, command)
        assert refused.value.code == code
