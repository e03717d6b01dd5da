"""The search page and the palette's hits: without script, filtered, in pages, and the way to a message."""

import re
from html import unescape

import pytest
from django.test import Client

from chat import search
from chat.models import Conversation
from tests.finding.conftest import Say, titled
from webapp.accounts.models import User


def page_of(client: Client, address: str = "/search/", **asked: str) -> str:
    answer = client.get(address, asked)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def test_the_page_lists_chats_and_messages_with_the_hit_marked(
    alices_client: Client, alice: User, say: Say
) -> None:
    turn = say("Which <b>dome</b> has a hole?", "The dome of the Pantheon.")
    chat = titled(alice, "Domes of Rome")
    page = page_of(alices_client, q="dome")
    assert f'href="/c/{chat.id}/"' in page
    assert "<mark>Dome</mark>s of Rome" in page
    assert page.count(f'href="/turns/{turn.id}/at/"') == 2
    assert "The <mark>dome</mark> of the Pantheon." in page
    assert "<b>dome</b>" not in alices_client.get("/search/", {"q": "dome"}).content.decode()


def test_the_palette_s_hits_are_options(alices_client: Client, alice: User, say: Say) -> None:
    say("Which dome?")
    titled(alice, "Domes")
    hits = page_of(alices_client, "/search/hits/", q="dome")
    assert hits.count('role="option"') == 2
    assert "<html" not in hits


def test_nothing_found_says_what_to_do(alices_client: Client) -> None:
    assert "Try fewer or shorter words" in page_of(alices_client, q="needle")
    assert "in any language" in page_of(alices_client)


def test_older_messages_are_a_link_away_with_the_filters_kept(
    alices_client: Client, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.messages, "__kwdefaults__", {"before": None, "limit": 2})
    for number in range(3):
        say(f"dome {number}")
    first = page_of(alices_client, q="dome", model="scripted")
    link = re.search(r'rel="next" href="(/search/\?[^"]+)"', first)
    assert link is not None
    assert "model=scripted" in link[1]
    older = page_of(alices_client, link[1])
    assert "dome</mark> 0" in older
    assert "dome</mark> 2" not in older
    assert "Newest" in older


@pytest.mark.parametrize(
    "asked", [{"since": "nonsense"}, {"until": "2026-13-45"}, {"before": "x"}, {"model": "none"}]
)
def test_a_broken_address_is_no_error(alices_client: Client, say: Say, asked: dict[str, str]) -> None:
    say("dome")
    page_of(alices_client, q="dome", **asked)


def test_a_message_on_another_branch_is_put_on_show(alices_client: Client, say: Say) -> None:
    first = say("First")
    other = say("First, otherwise")
    conversation = first.conversation
    answer = alices_client.get(f"/turns/{first.id}/at/")
    assert answer["Location"] == f"/c/{conversation.id}/#turn-{first.id}"
    assert Conversation.objects.get().current_turn == first
    assert f'id="turn-{first.id}"' in alices_client.get(answer["Location"]).content.decode()
    alices_client.get(f"/turns/{other.id}/at/")
    assert Conversation.objects.get().current_turn == other


def test_a_message_earlier_on_the_branch_leaves_it_on_show(alices_client: Client, say: Say) -> None:
    first = say("First")
    last = say("Second", parent=first)
    alices_client.get(f"/turns/{first.id}/at/")
    assert Conversation.objects.get().current_turn == last


def test_another_s_message_is_not_there(client: Client, bob: User, say: Say) -> None:
    turn = say("First")
    client.force_login(bob)
    assert client.get(f"/turns/{turn.id}/at/").status_code == 404
    assert "First" not in client.get("/search/hits/", {"q": "First"}).content.decode()


@pytest.mark.parametrize("path", ["/search/", "/search/hits/"])
def test_strangers_sign_in_first(client: Client, db: None, path: str) -> None:
    assert client.get(path).status_code == 302


def test_the_palette_offers_commands_and_the_chats_last_used(alices_client: Client, alice: User) -> None:
    titled(alice, "Domes")
    palette = page_of(alices_client, "/search/palette/")
    assert palette.count('role="option"') > 5
    assert "Theme: Dark" in palette
    assert "csrfmiddlewaretoken" in palette
    assert "Domes" in page_of(alices_client, "/search/hits/")
    assert "Keyboard shortcuts" in page_of(alices_client, "/search/keys/")
