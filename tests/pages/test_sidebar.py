"""The sidebar's list: by day, newest first, a page at a time, never another's."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from chat import sidebar
from chat.models import Conversation, Turn
from tests.pages.conftest import MakeTurn
from webapp.accounts.models import User

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def chat(user: User, title: str, *, age: timedelta) -> None:
    made = Conversation.objects.create(user=user, title=title)
    Conversation.objects.filter(pk=made.pk).update(updated_at=NOON - age)


@pytest.mark.parametrize(
    ("age", "name"),
    [
        (timedelta(0), "Today"),
        (timedelta(hours=13), "Yesterday"),
        (timedelta(days=2), "Last 7 days"),
        (timedelta(days=7), "Last 7 days"),
        (timedelta(days=8), "Older"),
        (timedelta(days=-1), "Today"),
    ],
)
def test_a_chat_is_listed_under_its_age(alice: User, age: timedelta, name: str) -> None:
    chat(alice, "One", age=age)
    assert [group.name for group in sidebar.page(alice, now=NOON).groups] == [name]


def test_the_newest_come_first_and_another_s_never(alice: User, bob: User) -> None:
    chat(alice, "Old", age=timedelta(days=30))
    chat(alice, "New", age=timedelta(0))
    chat(bob, "Secret", age=timedelta(0))
    groups = sidebar.page(alice, now=NOON).groups
    assert [[item.title for item in group.conversations] for group in groups] == [["New"], ["Old"]]


def test_a_long_list_comes_in_pages_without_loss(alice: User) -> None:
    for number in range(sidebar.PAGE_ROWS + 5):
        chat(alice, str(number), age=timedelta(minutes=number))
    first = sidebar.page(alice, now=NOON)
    second = sidebar.page(alice, now=NOON, before=first.before)
    titles = [item.title for page in (first, second) for group in page.groups for item in group.conversations]
    assert titles == [str(number) for number in range(sidebar.PAGE_ROWS + 5)]
    assert second.before is None


def test_the_next_page_is_asked_for_where_the_last_ended(alices_client: Client, alice: User) -> None:
    for number in range(sidebar.PAGE_ROWS + 1):
        chat(alice, f"Chat {number}", age=timedelta(minutes=number))
    page = alices_client.get("/sidebar/").content.decode()
    assert f"Chat {sidebar.PAGE_ROWS}<" not in page
    address = page.partition('hx-get="/sidebar/?')[2].partition('"')[0]
    assert f"Chat {sidebar.PAGE_ROWS}<" in alices_client.get(f"/sidebar/?{address}").content.decode()


@pytest.mark.parametrize("before", ["", "nonsense", "2026-11-23", "2026-13-45T00:00:00Z"])
def test_a_broken_address_shows_the_first_page(alices_client: Client, alice: User, before: str) -> None:
    chat(alice, "Chat", age=timedelta(0))
    assert "Chat<" in alices_client.get("/sidebar/", {"before": before}).content.decode()


def test_a_chat_that_is_answering_has_its_moon(alices_client: Client, make_turn: MakeTurn) -> None:
    make_turn("Wait", status=Turn.Status.RUNNING)
    page = alices_client.get("/sidebar/").content.decode()
    assert 'class="moon"' in page
