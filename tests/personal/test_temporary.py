"""A temporary chat: in no list, and nothing of it is left once it has ended, whatever died on the way."""

import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
import redis
from django.conf import settings
from django.test import Client
from django.utils import timezone

from chat import events, search, sidebar, tasks, temporary, workspaces
from chat.models import Conversation, Message, SearchEntry, Turn
from tests.conftest import WriteScript
from tests.turn.browser import Tab
from webapp.accounts.models import User
from webapp.billing.models import Hold

pytestmark = pytest.mark.django_db(transaction=True)


def keys_of(turn_id: UUID) -> list[bytes]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        return list(client.scan_iter(f"*{turn_id}*"))


def workspace(conversation: Conversation) -> Path:
    folder = Path(settings.VAR_DIR) / "workspaces" / str(conversation.id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "notes.txt").write_text("a secret plan")
    return folder


def sweep_until_gone(conversation_id: UUID) -> None:
    for _ in range(400):
        if not Conversation.objects.filter(id=conversation_id).exists():
            return
        tasks.sweep()
        time.sleep(0.05)
    pytest.fail("it is still there")


def test_it_is_in_no_list_and_goes_when_its_person_ends_it(
    alice_tab: Tab, script: WriteScript, client: Client, alice: User
) -> None:
    script("text: The orchid is in the cellar.")
    turn_id = UUID(alice_tab.ask("Where is the orchid?", is_temporary=True)[0]["turn"])
    chat = Conversation.objects.get()
    files = workspace(chat)
    assert (chat.title, SearchEntry.objects.count()) == ("", 0)
    assert search.messages(alice, search.Query(text="orchid")).hits == []
    assert sidebar.page(alice, now=timezone.now()).groups == []
    client.force_login(alice)
    for path in ("share/", "export.md", "pin/"):
        assert client.post(f"/c/{chat.id}/{path}").status_code in (404, 405)
    assert b"Temporary chat" in client.get(f"/c/{chat.id}/").content
    assert keys_of(turn_id)
    hold = Turn.objects.get().hold_id

    client.post(f"/c/{chat.id}/delete/")
    sweep_until_gone(chat.id)
    assert (Message.objects.count(), keys_of(turn_id), files.exists()) == (0, [], False)
    assert Hold.objects.filter(id=hold).exists()  # what it cost stays on the bill


def test_it_goes_by_itself_after_its_last_use(
    alice_tab: Tab, script: WriteScript, client: Client, alice: User
) -> None:
    script("text: Hello")
    alice_tab.ask("One", is_temporary=True)
    chat = Conversation.objects.get()
    assert chat.ends_at is not None
    assert chat.ends_at > timezone.now() + timedelta(hours=settings.TEMPORARY_CHAT_HOURS - 1)
    temporary.clear_ended()
    assert Conversation.objects.exists()
    Conversation.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
    client.force_login(alice)
    assert client.get(f"/c/{chat.id}/").status_code == 404  # nobody's from that moment on
    sweep_until_gone(chat.id)


def test_signing_out_ends_it_and_stops_what_is_under_way(
    alice_tab: Tab, script: WriteScript, client: Client, alice: User
) -> None:
    script("wait: 30", "text: too late")
    turn_id = UUID(alice_tab.start("A long one", is_temporary=True))
    alice_tab.wait_for("step.started")
    kept = Conversation.objects.create(user=alice, title="An ordinary one")
    client.force_login(alice)
    client.post("/sign-out/")
    sweep_until_gone(Conversation.objects.exclude(id=kept.id).get().id)
    assert (keys_of(turn_id), list(Conversation.objects.all())) == ([], [kept])


@pytest.mark.parametrize("dies_in", ["forget", "rmtree"])
def test_a_death_on_the_way_leaves_what_the_sweep_goes_on_with(
    alice_tab: Tab, script: WriteScript, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    script("text: Hello")
    turn_id = UUID(alice_tab.ask("One", is_temporary=True)[0]["turn"])
    chat = Conversation.objects.get()
    files = workspace(chat)

    class Died(BaseException):
        pass

    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as broken:
        where = events if dies_in == "forget" else workspaces
        broken.setattr(where, "forget", die)
        for _ in range(200):
            try:
                temporary.end(chat)
            except Died:
                break
            time.sleep(0.05)
    assert Conversation.objects.exists()
    sweep_until_gone(chat.id)
    assert (keys_of(turn_id), files.exists()) == ([], False)
