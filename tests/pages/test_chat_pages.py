"""The chat's pages without a script: what can be read, and what is another's."""

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Conversation, Turn
from tests.pages.conftest import MakeTurn
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

HTMX = {"HX-Request": "true"}


def test_a_stranger_is_sent_to_sign_in_and_back(client: Client, db: None) -> None:
    answer = client.get("/c/00000000-0000-0000-0000-000000000000/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/?next=/c/")


def test_the_empty_page_offers_models_and_examples(
    alices_client: Client, scripted_model: ServedModel
) -> None:
    page = alices_client.get("/").content.decode()
    assert 'data-model="scripted"' in page
    assert page.count('class="prompt"') == 4
    switch = re.search(r'role="switch"[^>]*>', page)
    assert switch is not None
    assert " checked" not in switch[0]


def test_without_any_model_the_page_says_so(alices_client: Client) -> None:
    ServedModel.objects.all().delete()
    assert "No model is offered yet" in alices_client.get("/").content.decode()


def test_a_conversation_can_be_read_without_a_socket(
    alices_client: Client, conversation: Conversation, make_turn: MakeTurn
) -> None:
    first = make_turn("What is **this**?", "It is **that**.", reasoning="Look at *it*.\n\n**Then** say.")
    make_turn("And <b>now</b>?", "Nothing.", parent=first)
    page = alices_client.get(f"/c/{conversation.pk}/").content.decode()
    assert "What is **this**?" in page
    assert "It is <strong>that</strong>." in page
    assert "<strong>Then</strong> say." in page
    assert "Thought for 32 s" in page
    assert "And &lt;b&gt;now&lt;/b&gt;?" in page


def test_a_turn_under_way_is_left_to_the_script(
    alices_client: Client, conversation: Conversation, make_turn: MakeTurn
) -> None:
    turn = make_turn("Wait", status=Turn.Status.RUNNING, finish_reason="")
    page = alices_client.get(f"/c/{conversation.pk}/").content.decode()
    assert re.search(rf'data-turn="{turn.pk}" data-parent="" data-live', page)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"finish_reason": "error", "error": "The worker went away."}, "The worker went away."),
        ({"finish_reason": "cancelled"}, "You stopped this answer"),
        ({"finish_reason": "length"}, "cut short"),
        ({"finish_reason": "stop", "error": "Stopped at the limit of 3 steps."}, "limit of 3 steps"),
    ],
)
def test_a_turn_that_did_not_end_well_says_how(
    alices_client: Client, make_turn: MakeTurn, fields: dict[str, str], words: str
) -> None:
    turn = make_turn("Try", "Part of", **fields)
    assert words in alices_client.get(reverse("turn", args=[turn.pk])).content.decode()


def test_the_other_version_of_a_turn_is_shown_on_request(
    alices_client: Client, conversation: Conversation, make_turn: MakeTurn
) -> None:
    first = make_turn("One", "First version.")
    make_turn("One", "Second version.")
    page = alices_client.get(f"/c/{conversation.pk}/").content.decode()
    assert "2 / 2" in page
    assert "First version." not in page
    thread = alices_client.post(reverse("show_branch", args=[first.pk]), headers=HTMX).content.decode()
    assert "First version." in thread
    assert "1 / 2" in thread


def test_renaming_answers_with_the_new_title(alices_client: Client, conversation: Conversation) -> None:
    here = HTMX | {"HX-Current-URL": f"http://testserver/c/{conversation.pk}/"}
    url = reverse("rename", args=[conversation.pk])
    assert "Trees and heat" in alices_client.get(url, headers=here).content.decode()
    answer = alices_client.post(url, {"title": "  A <new>   name "}, headers=here)
    assert "A &lt;new&gt; name" in answer.content.decode()
    assert "conversations-changed" in answer["HX-Trigger"]
    conversation.refresh_from_db()
    assert conversation.title == "A <new> name"


def test_a_name_of_blanks_is_refused(alices_client: Client, conversation: Conversation) -> None:
    answer = alices_client.post(reverse("rename", args=[conversation.pk]), {"title": "   "}, headers=HTMX)
    assert answer.status_code == 422
    assert "This field is required." in answer.content.decode()


def test_deleting_the_chat_on_show_leads_home(alices_client: Client, conversation: Conversation) -> None:
    here = HTMX | {"HX-Current-URL": f"http://testserver/c/{conversation.pk}/"}
    answer = alices_client.post(reverse("delete", args=[conversation.pk]), headers=here)
    assert answer["HX-Redirect"] == "/"
    assert not Conversation.objects.exists()


def test_deleting_another_chat_of_mine_stays_on_the_page(
    alices_client: Client, conversation: Conversation
) -> None:
    answer = alices_client.post(reverse("delete", args=[conversation.pk]), headers=HTMX)
    assert "conversations-changed" in answer["HX-Trigger"]


@pytest.mark.parametrize("name", ["conversation", "thread", "head", "rename", "delete"])
def test_another_s_conversation_is_not_there(
    client: Client, bob: User, conversation: Conversation, name: str
) -> None:
    client.force_login(bob)
    assert client.get(reverse(name, args=[conversation.pk])).status_code == 404
    assert client.get(reverse(name, args=[uuid4()])).status_code == 404


@pytest.mark.parametrize("name", ["rename", "delete"])
def test_another_s_conversation_cannot_be_changed(
    client: Client, bob: User, conversation: Conversation, name: str
) -> None:
    client.force_login(bob)
    assert client.post(reverse(name, args=[conversation.pk]), {"title": "Mine"}).status_code == 404
    conversation.refresh_from_db()
    assert conversation.title == "Trees and heat"


def test_another_s_turn_is_not_there(client: Client, bob: User, make_turn: MakeTurn) -> None:
    turn = make_turn("Secret", "Secret")
    client.force_login(bob)
    assert client.get(reverse("turn", args=[turn.pk])).status_code == 404
    assert client.post(reverse("show_branch", args=[turn.pk])).status_code == 404
