"""Changes to a conversation as a whole, and the door it is entered by."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from django.db import connections

from chat import conversations, dispatch, history
from chat.frames import TurnRegenerate, TurnSend
from chat.models import Conversation, Turn
from tests.chat.conftest import Ask
from tests.conftest import WriteScript
from webapp.accounts.models import User
from webapp.billing.models import UsageRecord


def texts(conversation: Conversation) -> list[str]:
    conversation.refresh_from_db()
    return [view.user_text for view in history.branch(conversation)]


def test_a_branch_can_be_left_and_shown_again_to_its_newest_end(ask: Ask, script: WriteScript) -> None:
    script("text: yes")
    first = ask("one")
    conversation = first.conversation
    ask("two", conversation=conversation)
    edited = ask("one, edited", conversation=conversation, is_branch=True)
    assert texts(conversation) == ["one, edited"]
    conversations.show_branch(conversation, turn=first)
    assert texts(conversation) == ["one", "two"]
    view = history.branch(conversation)[0]
    assert (view.siblings, view.index) == ((first.id, edited.id), 0)
    assert (view.previous, view.next) == (None, edited.id)


def test_a_name_is_one_line_and_not_too_long(ask: Ask, script: WriteScript) -> None:
    script("text: yes")
    conversation = ask("one").conversation
    conversations.rename(conversation, title="  A\n new " + "name " * 100)
    conversation.refresh_from_db()
    assert conversation.title.startswith("A new name name")
    assert len(conversation.title) <= 200


def test_deleting_takes_turns_and_messages_but_leaves_the_bill(ask: Ask, script: WriteScript) -> None:
    script("text: yes")
    turn = ask("one")
    conversations.delete(turn.conversation)
    assert not Conversation.objects.exists()
    assert not Turn.objects.exists()
    assert UsageRecord.objects.count() == 1


def test_the_same_message_sent_twice_at_once_starts_one_turn(
    ask: Ask, alice: User, script: WriteScript
) -> None:
    command = TurnSend(client_id=str(uuid4()), text="twice", model="scripted")

    def send() -> Turn:
        try:
            return dispatch.submit_turn(alice, command)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        started = {future.result().id for future in [pool.submit(send) for _ in range(4)]}
    assert len(started) == 1
    assert Conversation.objects.count() == Turn.objects.count() == 1


def test_regenerating_keeps_the_limits_that_the_person_set(
    ask: Ask, alice: User, script: WriteScript
) -> None:
    script("text: yes")
    first = ask("one", long_thinking=True, effort="high")
    Turn.objects.update(max_steps=7)
    again = dispatch.regenerate(alice, TurnRegenerate(turn=str(first.id), client_id=str(uuid4())))
    assert (again.max_steps, again.effort, again.long_thinking) == (7, "high", True)
    assert again.parent == first.parent
