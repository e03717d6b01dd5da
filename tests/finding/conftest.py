"""Conversations to search."""

from collections.abc import Callable

import pytest

from chat import search, search_index
from chat.models import Conversation, Turn
from tests.pages.conftest import MakeTurn, alices_client, conversation, make_turn  # noqa: F401
from webapp.accounts.models import User

Say = Callable[..., Turn]


@pytest.fixture
def say(make_turn: MakeTurn) -> Say:  # noqa: F811
    """A finished turn, searched as one that a person had."""

    def say(question: str, answer: str = "", **fields: object) -> Turn:
        turn = make_turn(question, answer, **fields)
        search_index.keep_question(turn, question)
        search_index.keep_answer(turn, answer)
        return turn

    return say


def found(user: User, text: str, **filters: object) -> list[str]:
    """The texts of the messages, hits in brackets."""
    page = search.messages(user, search.Query(text=text, **filters))  # type: ignore[arg-type]
    return [
        "".join(f"[{piece.text}]" if piece.is_hit else piece.text for piece in hit.snippet)
        for hit in page.hits
    ]


def titled(user: User, title: str) -> Conversation:
    made = Conversation.objects.create(user=user, title=title)
    search_index.keep_title(made)
    return made
