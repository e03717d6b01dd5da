"""A person takes all their data with them, and deletes the account; bills stay, under no name."""

import io
import json
import zipfile
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.test import Client
from django.utils import timezone

from chat import account_data, memories
from chat.models import Attachment, Conversation, Draft, Feedback, Memory, Preferences, Share
from tests.pages.conftest import MakeTurn
from webapp.accounts import closing, keys
from webapp.accounts.models import User
from webapp.api import files, idempotency
from webapp.api.models import Batch, BatchLine, KeyedCall, StoredFile
from webapp.billing.models import Account, Hold

pytestmark = pytest.mark.django_db


def test_the_file_holds_what_is_ones_own_and_no_temporary_chat(
    alices_client: Client, alice: User, bob: User, make_turn: MakeTurn
) -> None:
    make_turn("How old is the oak?", "Eighty years.")
    memories.write(alice, "Grows orchids.")
    memories.write(bob, "Grows nothing.")
    answer = alices_client.get("/settings/data/export.zip")
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))  # type: ignore[attr-defined]
    [chat] = [name for name in archive.namelist() if name.startswith("chats/00001")]
    assert json.loads(archive.read(chat))["exchanges"][0]["answer"] == "Eighty years."
    assert [line["text"] for line in json.loads(archive.read("memory.json"))] == ["Grows orchids."]
    assert json.loads(archive.read("account.json"))["email"] == "alice@example.com"


def test_the_account_goes_with_all_that_is_in_it_and_the_bill_stays(
    alices_client: Client, alice: User, make_turn: MakeTurn
) -> None:
    turn = make_turn("How old is the oak?", "Eighty years.")
    key, _secret = keys.create(alice, name="mine")
    Feedback.objects.create(turn=turn, user=alice, is_good=True)
    Preferences.objects.create(user=alice, instructions="Short.")
    memories.write(alice, "Grows orchids.")
    Draft.objects.create(user=alice, text="Half")
    file = Attachment.objects.create(user=alice, name="a.txt", media_type="text/plain", num_bytes=1)
    file.file.save("a", ContentFile(b"x"))
    stored = files.put(key, name="b.jsonl", purpose=StoredFile.Purpose.BATCH, content=b"x")
    window = timezone.now() + timedelta(days=1)
    batch = Batch.objects.create(id="batch_1", user=alice, api_key=key, input_file=stored, expires_at=window)
    BatchLine.objects.create(batch=batch, number=1, custom_id="q", body="{}")
    idempotency.begin(key, route="/v1/chat/completions", name="order-7", body=b"{}")

    wrong = alices_client.post("/settings/data/", {"password": "wrong"})
    assert (wrong.status_code, User.objects.get(pk=alice.pk).is_active) == (422, True)
    alices_client.post("/settings/data/", {"password": "alice-password-1"})
    gone = User.objects.get(pk=alice.pk)
    assert (gone.username, gone.email, gone.is_active) == (
        f"deleted-{alice.pk}",
        f"{alice.pk}@deleted.invalid",
        False,
    )
    left = [
        model.objects.count()
        for model in (
            *(Conversation, Feedback, Preferences, Memory, Draft, Share, Attachment),
            *(StoredFile, Batch, BatchLine, KeyedCall),
        )
    ]
    assert left == [0] * 11
    assert not stored.file.storage.exists(str(stored.file.name))
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert alices_client.get("/").status_code == 302
    assert (Account.objects.filter(user=gone).count(), Hold.objects.count()) == (1, 1)


def test_what_a_death_left_of_a_closed_account_goes_within_the_hour(
    alice: User, bob: User, make_turn: MakeTurn, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_turn("How old is the oak?", "Eighty years.")
    kept = Conversation.objects.create(user=bob)
    with monkeypatch.context() as broken:
        broken.setattr(closing.closed, "send", lambda **_: None)  # died right after the first commit
        closing.close(alice)
    assert Conversation.objects.count() == 2
    closing.clear_again()
    closing.clear_again()
    assert list(Conversation.objects.all()) == [kept]
    assert account_data.export(bob).read(2) == b"PK"
