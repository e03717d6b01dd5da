"""Pins, the archive, folders and tags: forms without script, in sidebar and search; one's own alone."""

import pytest
from django.test import Client

from chat import organising, search, sidebar
from chat.models import Conversation, Folder, Tag
from tests.conftest import WriteScript
from tests.finding.conftest import Say, found, titled
from tests.pages.test_sidebar import NOON
from tests.turn.browser import Tab
from tests.turn.conftest import alice_tab, celery_worker, open_tab, server  # noqa: F401
from webapp.accounts.models import User


def listed(user: User) -> list[str]:
    return [item.title for group in sidebar.page(user, now=NOON).groups for item in group.conversations]


def test_what_is_pinned_comes_first_and_once(alices_client: Client, alice: User) -> None:
    old, new = titled(alice, "Old"), titled(alice, "New")
    alices_client.post(f"/c/{old.id}/pin/", {"on": "1"})
    page = sidebar.page(alice, now=NOON)
    assert [item.title for item in page.pinned] == ["Old"]
    assert listed(alice) == ["New"]
    alices_client.post(f"/c/{old.id}/pin/", {"on": "0"})
    assert listed(alice) == ["New", "Old"]
    assert new in Conversation.objects.filter(pinned_at=None)


def test_the_archive_takes_a_chat_out_of_the_sidebar_and_gives_it_back(
    alices_client: Client, alice: User
) -> None:
    chat = titled(alice, "Done with")
    organising.pin(chat, is_pinned=True)
    answer = alices_client.post(f"/c/{chat.id}/archive/", {"on": "1"})
    assert answer["Location"] == f"/c/{chat.id}/"
    page = sidebar.page(alice, now=NOON)
    assert (page.pinned, page.groups) == ([], [])
    assert "Done with" in alices_client.get("/archive/").content.decode()
    assert [hit.conversation for hit in search.chats(alice, search.Query(text="Done"))] == [chat]
    alices_client.post(f"/c/{chat.id}/archive/", {"on": "0"})
    assert listed(alice) == ["Done with"]
    assert "Done with" not in alices_client.get("/archive/").content.decode().partition("<main")[2]


@pytest.mark.django_db(transaction=True)
def test_a_chat_that_goes_on_is_back_from_the_archive(
    alice_tab: Tab,  # noqa: F811
    script: WriteScript,
) -> None:
    script("text: Hello")
    alice_tab.ask("One")
    chat = Conversation.objects.get()
    organising.archive(chat, is_archived=True)
    alice_tab.ask("Two", conversation=str(chat.id))
    assert Conversation.objects.get().archived_at is None


def test_a_chat_is_put_into_a_folder_and_under_tags(alices_client: Client, alice: User, say: Say) -> None:
    chat = say("heat and trees").conversation
    filled = {"folder": "  Urban   heat ", "tags": "Review, 城市、 review2,,"}
    alices_client.post(f"/c/{chat.id}/organise/", filled)
    chat.refresh_from_db()
    folder = Folder.objects.get()
    assert (chat.folder, folder.name) == (folder, "Urban heat")
    assert sorted(tag.name for tag in chat.tags.all()) == sorted(["Review", "城市", "review2"])
    form = alices_client.get(f"/c/{chat.id}/organise/").content.decode()
    assert 'value="Urban heat"' in form
    assert [(one.name, vars(one)["num_chats"]) for one in sidebar.folders(alice)] == [("Urban heat", 1)]
    for shelf in (f"/folders/{folder.id}/", f"/tags/{chat.tags.all()[0].id}/"):
        assert chat.title in alices_client.get(shelf).content.decode().partition("<main")[2]
    assert found(alice, "trees", folder=folder.id) == ["heat and [trees]"]
    assert found(alice, "trees", folder=folder.id + 1) == []
    alices_client.post(f"/c/{chat.id}/organise/", {"folder": "", "tags": ""})
    assert not Tag.objects.exists()
    assert Conversation.objects.get(pk=chat.pk).folder is None


def test_a_folder_is_renamed_and_deleted_and_its_chats_stay(alices_client: Client, alice: User) -> None:
    chat = titled(alice, "Kept")
    organising.put(chat, folder="One", tags=[])
    Folder.objects.create(user=alice, name="Taken")
    folder = Folder.objects.get(name="One")
    assert alices_client.post(f"/folders/{folder.id}/", {"name": "Taken"}).status_code == 422
    assert alices_client.post(f"/folders/{folder.id}/", {"name": "Two"}).status_code == 302
    assert Conversation.objects.get().folder == Folder.objects.get(name="Two")
    alices_client.post(f"/folders/{folder.id}/delete/")
    assert Conversation.objects.get().folder is None


def test_too_many_tags_are_refused_with_what_was_typed(alices_client: Client, alice: User) -> None:
    chat = titled(alice, "Kept")
    tags = ",".join(f"tag{number}" for number in range(organising.MAX_TAGS + 1))
    answer = alices_client.post(f"/c/{chat.id}/organise/", {"folder": "F", "tags": tags})
    assert answer.status_code == 422
    assert "at most 20 tags" in answer.content.decode()
    assert tags in answer.content.decode()
    assert not Folder.objects.exists()


def test_another_s_are_not_there(client: Client, alice: User, bob: User) -> None:
    chat = titled(alice, "Mine")
    organising.put(chat, folder="Mine", tags=["mine"])
    folder, tag = Folder.objects.get(), Tag.objects.get()
    client.force_login(bob)
    for path in (f"/folders/{folder.id}/", f"/tags/{tag.id}/", f"/c/{chat.id}/organise/"):
        assert client.get(path).status_code == 404
    for path in (f"/c/{chat.id}/pin/", f"/c/{chat.id}/archive/", f"/folders/{folder.id}/delete/"):
        assert client.post(path, {"on": "1"}).status_code == 404
    assert Conversation.objects.get().folder == folder


def test_with_script_the_sidebar_and_the_head_read_themselves_again(
    alices_client: Client, alice: User
) -> None:
    chat = titled(alice, "Mine")
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver/c/{chat.id}/"}
    answer = alices_client.post(f"/c/{chat.id}/pin/", {"on": "1"}, headers=headers)
    assert "conversations-changed" in answer["HX-Trigger"]
    assert f'hx-get="/c/{chat.id}/head/"' in answer.content.decode()
    assert "Unpin" in alices_client.get(f"/c/{chat.id}/head/").content.decode()
    dialog = alices_client.get(f"/c/{chat.id}/organise/", headers=headers).content.decode()
    assert dialog.lstrip().startswith("<dialog")
