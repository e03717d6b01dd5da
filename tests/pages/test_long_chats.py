"""A long chat comes in pieces: its end with the page, what is before it as the reader looks for it."""

import re
from uuid import uuid4

import pytest
from django.test import Client

from chat import windows
from chat.models import Conversation, Turn
from tests.pages.conftest import MakeTurn
from webapp.accounts.models import User

NUM_TURNS = 40


@pytest.fixture
def turns(make_turn: MakeTurn) -> list[Turn]:
    made: list[Turn] = []
    for number in range(NUM_TURNS):
        made.append(make_turn(f"Question {number}", f"Answer {number}", parent=made[-1] if made else None))
    return made


def shown(client: Client, path: str) -> list[int]:
    """The numbers of the questions in the page at this address."""
    answer = client.get(path)
    assert answer.status_code == 200
    return [int(number) for number in re.findall(r'"bubble">Question (\d+)<', answer.content.decode())]


def test_a_page_holds_the_end_of_a_long_chat(
    alices_client: Client, conversation: Conversation, turns: list[Turn]
) -> None:
    latest = shown(alices_client, f"/c/{conversation.id}/")
    assert latest == list(range(NUM_TURNS - windows.MOST_TURNS, NUM_TURNS))
    assert shown(alices_client, f"/c/{conversation.id}/?whole") == list(range(NUM_TURNS))


def test_what_is_before_comes_in_pieces_or_down_to_a_turn(alices_client: Client, turns: list[Turn]) -> None:
    before = f"/turns/{turns[25].id}/earlier/"
    assert shown(alices_client, before) == list(range(10, 25))
    assert shown(alices_client, f"{before}?since={turns[3].id}") == list(range(3, 25))
    assert shown(alices_client, f"{before}?since={uuid4()}") == list(range(10, 25))
    assert shown(alices_client, f"{before}?whole") == list(range(25))
    assert shown(alices_client, f"/turns/{turns[0].id}/earlier/") == []


def test_long_answers_make_the_piece_shorter(
    alices_client: Client, make_turn: MakeTurn, turns: list[Turn], conversation: Conversation
) -> None:
    long = make_turn("Question 40", "word " * windows.MOST_CHARS, parent=turns[-1])
    assert shown(alices_client, f"/c/{conversation.id}/") == [38, 39, 40]
    assert shown(alices_client, f"/turns/{long.id}/earlier/") == list(range(25, 40))


def test_a_version_that_is_chosen_is_on_the_page(alices_client: Client, turns: list[Turn]) -> None:
    answer = alices_client.post(f"/turns/{turns[5].id}/show/")
    assert f'id="turn-{turns[5].id}"' in answer.content.decode()


def test_nobody_reads_before_anothers_turn(client: Client, bob: User, turns: list[Turn]) -> None:
    client.force_login(bob)
    assert client.get(f"/turns/{turns[9].id}/earlier/").status_code == 404
