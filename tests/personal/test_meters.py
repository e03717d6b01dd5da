"""The ring of the context, the speed of an answer, and the map of a chat."""

import pytest
from django.test import Client

from chat import meters, tree
from chat.models import Conversation, Message, Turn
from tests.pages.conftest import MakeTurn
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db


def test_the_ring_shows_what_the_last_reply_read_and_wrote(
    alices_client: Client, make_turn: MakeTurn, conversation: Conversation
) -> None:
    turn = make_turn("A long talk", "Indeed.")
    counts = {"input_uncached_tokens": 9_000, "input_cached_tokens": 20_000, "output_tokens": 400}
    Message.objects.filter(turn=turn, role="assistant").update(
        **counts, reasoning_tokens=100, duration_ms=8_000
    )
    context = meters.context_of(turn)
    assert context is not None
    assert (context.used, context.limit, context.percent, context.is_tight) == (29_300, 32_768, 89, True)
    fragment = alices_client.get(f"/c/{conversation.id}/context/").content.decode()
    assert "29,300 of 32,768 tokens" in fragment
    page = alices_client.get(f"/c/{conversation.id}/").content.decode()
    assert "29,300 of 32,768 tokens" in page
    assert "50 tokens/s" in page


def test_without_a_counted_reply_there_is_no_ring(make_turn: MakeTurn) -> None:
    assert meters.context_of(make_turn("Hello", "Hi")) is None


def test_the_map_shows_every_version_and_which_branch_is_on_show(
    alices_client: Client, client: Client, make_turn: MakeTurn, conversation: Conversation, bob: User
) -> None:
    first = make_turn("Start", "Yes.")
    old = make_turn("Old way", "Old.", parent=first)
    make_turn("Old end", "Over.", parent=old)
    make_turn("An agent's task", "done", spawned_by=old)
    new = make_turn("New way", "New.", parent=first)
    places = tree.of(conversation)
    assert [
        (place.question, place.depth, place.version, place.versions, place.is_shown) for place in places
    ] == [
        ("Start", 0, 1, 1, True),
        ("Old way", 1, 1, 2, False),
        ("Old end", 1, 1, 1, False),
        ("New way", 1, 2, 2, True),
    ]
    assert "Old way" in alices_client.get(f"/c/{conversation.id}/map/").content.decode()
    alices_client.post(f"/turns/{old.id}/show/")
    conversation.refresh_from_db()
    assert conversation.current_turn_id != new.id
    client.force_login(bob)
    assert client.get(f"/c/{conversation.id}/map/").status_code == 404


def test_a_chat_of_thousands_of_turns_has_a_map(make_turn: MakeTurn, conversation: Conversation) -> None:
    last: Turn | None = None
    for number in range(1_100):  # deeper than Python's stack
        last = make_turn(f"Question {number}", parent=last) if number < 3 else _child(last)
    assert len(tree.of(conversation)) == 1_100


def _child(parent: Turn | None) -> Turn:
    from uuid import uuid4

    assert parent is not None
    hold = parent.hold
    hold.pk = None
    hold.pk = uuid4()
    hold.save(force_insert=True)
    parent.pk, parent.client_id, parent.parent_id, parent.hold = uuid4(), uuid4(), parent.pk, hold
    parent.save(force_insert=True)
    return parent
