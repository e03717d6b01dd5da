"""Sources of one's answers, found by title and host, and the way to where they are cited."""

import pytest
from django.test import Client
from django.urls import reverse

from chat import endings, search, snapshots
from chat.models import SearchEntry, Turn
from tests.pages import scenes
from webapp.accounts.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted_model")]


def ended(turn: Turn) -> Turn:
    endings.keep(turn)
    return turn


def found(user: User, words: str) -> list[str]:
    return [hit.number for hit in search.sources(user, search.Query(text=words))]


def test_a_cited_source_is_found_by_title_and_host_alone(alice: User, bob: User) -> None:
    ended(scenes.cited(alice))
    assert found(alice, "cooling") == ["1"]
    assert found(alice, "thelancet.com green") == ["1"]
    assert found(alice, "isglobal") == ["2"]
    assert found(alice, "cooling isglobal") == []  # words of two sources
    assert found(alice, "Master Plan") == []  # read, not cited
    assert found(bob, "cooling") == []


def test_titles_and_messages_are_found_as_before(alice: User) -> None:
    turn = ended(scenes.cited(alice))
    assert search.messages(alice, search.Query(text="isglobal")).hits == []
    assert search.chats(alice, search.Query(text="isglobal")) == []
    assert [hit.turn_id for hit in search.messages(alice, search.Query(text="2,644")).hits] == [turn.pk]


@pytest.mark.parametrize("words", ["城市绿化", "绿化", "化"])
def test_chinese_titles_are_found_by_any_part(alice: User, words: str) -> None:
    scene = scenes.Scene(alice)
    scene.passage(1, title="城市绿化与高温", source="https://www.example.cn/report")
    ended(scene.step(text="树木有帮助 [1]。").turn)
    assert found(alice, words) == ["1"]


def test_the_same_source_of_two_answers_stands_once_and_the_newest_leads(alice: User) -> None:
    first, second = (ended(scenes.cited(alice)) for _ in range(2))
    [hit] = search.sources(alice, search.Query(text="isglobal"))
    assert hit.turn_id == second.pk
    SearchEntry.objects.filter(turn=second).delete()
    [hit] = search.sources(alice, search.Query(text="isglobal"))
    assert hit.turn_id == first.pk


def test_the_palette_lists_sources_and_leads_to_the_citation(alices_client: Client, alice: User) -> None:
    turn = ended(scenes.cited(alice))
    page = alices_client.get(reverse("search_hits"), {"q": "isglobal"}).content.decode()
    assert "www.<mark>isglobal</mark>.org" in page
    address = reverse("at_turn", args=[turn.pk])
    assert f'href="{address}?source=2"' in page
    there = alices_client.get(address, {"source": "2"})
    assert there["Location"].endswith(f"#turn-{turn.pk}.2")
    assert alices_client.get(address, {"source": "x"})["Location"].endswith(f"#turn-{turn.pk}")


@pytest.mark.parametrize("source", ["http://[nowhere", "http://ex\u2100mple.com/"])
def test_a_source_whose_address_is_none_is_kept_under_its_words(
    alices_client: Client, alice: User, source: str
) -> None:
    scene = scenes.Scene(alice)
    scene.passage(1, title="Odd", source=source)
    turn = ended(scene.step(text="It is so [1].").turn)
    assert found(alice, "odd") == ["1"]
    for page in ("sources", "run_graph"):
        assert alices_client.get(reverse(page, args=[turn.pk])).status_code == 200
    assert alices_client.get(reverse("conversation", args=[turn.conversation_id])).status_code == 200
    assert snapshots.of_turn(turn, with_reasoning=True).exchanges
