"""Being told that a long run is over: once a turn, by mail and webhook, and not while the chat is in view."""

import asyncio
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from chat import endings, notices, presence
from chat.models import Notice, Preferences, Turn
from tests.pages.conftest import MakeTurn
from webapp.accounts.models import User
from webapp.webhooks.models import Delivery, Endpoint

pytestmark = pytest.mark.django_db


@pytest.fixture
def ended(make_turn: MakeTurn, alice: User) -> Turn:
    """A turn that took ten minutes, of somebody who wants to be told every way."""
    Preferences.objects.create(user=alice, notifies_email=True, notifies_after_s=60)
    Endpoint.objects.create(
        user=alice,
        name="mine",
        url="https://hooks.test/",
        secret="whsec_c2VjcmV0",
        event_types=["turn.finished"],
    )
    turn = make_turn("A long task", "The secret is forty-two.")
    Turn.objects.filter(id=turn.id).update(
        created_at=timezone.now() - timedelta(minutes=10), finished_at=timezone.now()
    )
    turn.refresh_from_db()
    return turn


def tell_all() -> None:
    for notice in Notice.objects.filter(due_at__isnull=False):
        notices.tell(notice.id)


def test_mail_and_webhook_are_told_once_and_say_nothing_of_the_answer(ended: Turn) -> None:
    endings.keep(ended)
    endings.keep(ended)  # a second worker that ends it
    tell_all()
    tell_all()
    [message] = mail.outbox
    assert message.to == ["alice@example.com"]
    assert f"/c/{ended.conversation_id}/#turn-{ended.id}" in message.body
    assert "forty-two" not in f"{message.body} {message.subject}"
    delivery = Delivery.objects.get()
    assert (delivery.event_type, "forty-two" in delivery.body) == ("turn.finished", False)
    assert set(Notice.objects.values_list("state", flat=True)) == {"sent"}


def test_nobody_is_told_what_they_have_in_view(ended: Turn) -> None:
    asyncio.run(presence.note("page 1", str(ended.conversation_id), is_watching=True))
    asyncio.run(presence.note("page 2", str(ended.conversation_id), is_watching=True))
    asyncio.run(presence.note("page 2", str(ended.conversation_id), is_watching=False))
    endings.keep(ended)
    tell_all()
    assert (mail.outbox, Delivery.objects.count()) == ([], 0)
    assert set(Notice.objects.values_list("state", flat=True)) == {"seen"}


def test_short_runs_temporary_chats_and_agents_tell_nobody(ended: Turn, make_turn: MakeTurn) -> None:
    endings.keep(make_turn("A short one", "Yes."))
    endings.keep(make_turn("A task", "of an agent", spawned_by=ended, created_at=ended.created_at))
    ended.conversation.ends_at = timezone.now() + timedelta(hours=1)
    ended.conversation.save()
    endings.keep(ended)
    assert not Notice.objects.exists()


def test_a_mail_that_could_not_be_sent_is_tried_again_under_the_same_id(
    ended: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    endings.keep(ended)
    notice = Notice.objects.get(channel="email")

    def away(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as broken:
        broken.setattr("django.core.mail.EmailMessage.send", away)
        notices.tell(notice.id)
    notice.refresh_from_db()
    assert (notice.state, notice.tries) == ("due", 1)
    assert notice.due_at is not None
    assert notice.due_at > timezone.now()
    notices.tell(notice.id)  # not yet
    assert mail.outbox == []
    Notice.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    notices.tell(notice.id)
    assert str(notice.id) in mail.outbox[0].extra_headers["Message-ID"]


def test_the_settings_say_what_stands_in_the_way_of_a_webhook(alices_client: Client, alice: User) -> None:
    refused = alices_client.post("/settings/notifications/webhooks/", {"url": "http://127.0.0.1/"})
    assert (refused.status_code, Endpoint.objects.count()) == (422, 0)
    made = alices_client.post("/settings/notifications/webhooks/", {"url": "https://example.com/hook"})
    secret = Endpoint.objects.get(user=alice).secret
    assert secret in made.content.decode()
    assert secret not in alices_client.get("/settings/notifications/").content.decode()
    alices_client.post(f"/settings/notifications/webhooks/{Endpoint.objects.get().pk}/delete/")
    assert not Endpoint.objects.exists()


def test_a_page_that_nobody_looks_at_learns_what_to_say(
    alices_client: Client, client: Client, ended: Turn, bob: User
) -> None:
    said = alices_client.get(f"/turns/{ended.id}/notice/").json()
    assert (said["title"], said["is_long"]) == ("Trees and heat", True)
    assert "forty-two" not in said["text"]
    client.force_login(bob)
    assert client.get(f"/turns/{ended.id}/notice/").status_code == 404
