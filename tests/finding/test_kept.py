"""What is searched is kept with what is said, and made for what was said before there was a search."""

from importlib import import_module

import pytest
from django.apps import apps

from agents.transcript import NoteKind
from chat.models import Message, Part, SearchEntry, Turn
from tests.conftest import WriteScript
from tests.finding.conftest import found
from tests.pages.conftest import MakeTurn, conversation, make_turn  # noqa: F401
from tests.turn.browser import Tab
from tests.turn.conftest import alice_tab, celery_worker, open_tab, server  # noqa: F401
from webapp.accounts.models import User


@pytest.mark.django_db(transaction=True)
def test_a_turn_is_found_by_its_title_question_and_answer(
    alice_tab: Tab,  # noqa: F811
    script: WriteScript,
    alice: User,
) -> None:
    script("think: a secret thought", "text: It is the Pantheon.")
    alice_tab.ask("Which dome has a hole?", long_thinking=True)
    entries = SearchEntry.objects.order_by("id").values_list("kind", "text")
    assert list(entries) == [
        ("title", "Which dome has a hole?"),
        ("question", "Which dome has a hole?"),
        ("answer", "It is the Pantheon."),
    ]
    assert found(alice, "secret thought") == []


def note(turn: Turn, kind: NoteKind, step: int, **data: object) -> None:
    Message.objects.create(
        turn=turn, step=step, position=10_000, role=Message.Role.NOTE, kind=kind.value, data=data
    )


@pytest.mark.database
def test_what_was_said_before_is_filled_in_without_what_was_taken_back(
    alice: User,
    make_turn: MakeTurn,  # noqa: F811
) -> None:
    turn = make_turn("Which dome?", "A draft. ", reasoning="a thought")
    for step, text in ((2, "Gone. "), (3, "The Pantheon.")):
        message = Message.objects.create(turn=turn, step=step, role=Message.Role.ASSISTANT)
        Part.objects.create(message=message, position=0, kind=Part.Kind.TEXT, text=text)
    note(turn, NoteKind.CHECK, 1, must_revise=True)
    note(turn, NoteKind.ROLLBACK, 2, to_step=1)
    make_turn("A task", "of an agent", spawned_by=turn)
    make_turn("Still", "going", status=Turn.Status.RUNNING)
    import_module("chat.migrations.0006_search").fill(apps, None)
    texts = SearchEntry.objects.order_by("id").values_list("kind", "text")
    assert list(texts) == [
        ("title", "Trees and heat"),
        ("question", "Which dome?"),
        ("answer", "The Pantheon."),
        ("question", "Still"),
    ]
    assert found(alice, "Pantheon") == ["The [Pantheon]."]
