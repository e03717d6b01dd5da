"""What is typed survives: on the server for another device, beside what another page wrote, until it is
sent."""

import json
from uuid import uuid4

import pytest
from django.test import Client

from chat import drafts
from chat.dispatch import submit_turn
from chat.frames import TurnSend
from chat.models import Conversation, Draft, Turn
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

pytestmark = pytest.mark.django_db


def post(client: Client, text: str, *, base: int = 0, **more: object) -> dict[str, object]:
    body = json.dumps({"text": text, "base": base, **more})
    answer: dict[str, object] = client.post("/drafts/", body, content_type="application/json").json()
    return answer


def test_a_draft_waits_on_the_server_for_the_next_device(alices_client: Client) -> None:
    kept = post(alices_client, "Half a thought")
    assert kept["version"] == 1
    page = alices_client.get("/").content.decode()
    assert 'data-draft="Half a thought" data-draft-version="1"' in page


def test_two_pages_that_type_lose_nothing_of_either(alices_client: Client) -> None:
    post(alices_client, "From the desk")
    assert post(alices_client, "From the phone", base=0)["text"] == "From the desk\n\nFrom the phone"
    grown = post(alices_client, "From the desk, and on\n\nFrom the phone", base=2)
    assert (grown["text"], grown["version"]) == ("From the desk, and on\n\nFrom the phone", 3)
    assert post(alices_client, str(grown["text"]), base=1)["version"] == 3  # again: nothing changes


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [("a", "ab", "ab"), ("ab", "a", "ab"), ("a", "", "a"), ("", "b", "b"), ("a", "b", "a\n\nb")],
)
def test_joined_texts_hold_both(first: str, second: str, both: str) -> None:
    assert drafts.joined(first, second) == both


def test_what_is_sent_is_no_draft_any_more_and_what_is_typed_since_stays(
    alice: User, scripted_model: ServedModel
) -> None:
    drafts.write(alice, None, text="Hello ", files=[], base=0)
    command = TurnSend(client_id=str(uuid4()), text="Hello", model="scripted")
    turn = submit_turn(alice, command)
    assert drafts.read(alice, None).text == ""
    drafts.write(alice, None, text="Next", files=[], base=2)
    assert submit_turn(alice, command) == turn  # a resend
    assert drafts.read(alice, None).text == "Next"


def test_a_page_that_died_on_the_way_learns_whether_its_message_came_in(
    alices_client: Client, alice: User, scripted_model: ServedModel
) -> None:
    client_id = str(uuid4())
    assert alices_client.get("/drafts/", {"sent": client_id}).json()["was_sent"] is False
    submit_turn(alice, TurnSend(client_id=client_id, text="Hello", model="scripted"))
    assert alices_client.get("/drafts/", {"sent": client_id}).json()["was_sent"] is True


def test_drafts_are_ones_own_and_not_of_temporary_chats(
    client: Client, alice: User, bob: User, scripted_model: ServedModel
) -> None:
    turn = submit_turn(
        alice, TurnSend(client_id=str(uuid4()), text="Hi", model="scripted", is_temporary=True)
    )
    kept = Conversation.objects.create(user=alice)
    client.force_login(bob)
    for conversation in (turn.conversation_id, kept.id):
        body = json.dumps({"text": "x", "base": 0, "conversation": str(conversation)})
        assert client.post("/drafts/", body, content_type="application/json").status_code == 404
    client.force_login(alice)
    body = json.dumps({"text": "x", "base": 0, "conversation": str(turn.conversation_id)})
    assert client.post("/drafts/", body, content_type="application/json").status_code == 404
    assert client.post("/drafts/", "{", content_type="application/json").status_code == 400
    assert (Draft.objects.count(), Turn.objects.count()) == (0, 1)
