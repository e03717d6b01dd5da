"""Uploads at their edges: names, what a person may take of the platform, and what is left of files that are
gone."""

import io
import os
import time
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from agents.documents.extraction import Extracted, Part
from agents.workspace.folder import clean
from chat import attachments, documents, tasks
from chat.models import Attachment, Conversation
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db
LONG_AGO = time.time() - 100_000


def uploaded(user: User, body: bytes = b"hi", name: str = "a.txt") -> Attachment:
    return attachments.keep(attachments.begin(user, name=name, num_bytes=len(body)), io.BytesIO(body))


@pytest.mark.parametrize("name", ["报告" * 80 + ".pdf", "😀" * 200, "a" * 300 + ".txt", "é" * 119 + ".é"])
def test_any_name_fits_the_work_folder(name: str) -> None:
    plain = attachments.plain_name(name)
    assert clean(f"uploads/{plain} (1000)")
    assert plain.rpartition(".")[2] == name.rpartition(".")[2] or "." not in name


def test_one_that_is_removed_while_it_arrives_leaves_no_file(alice: User) -> None:
    attachment = attachments.begin(alice, name="a.txt", num_bytes=2)
    assert attachments.remove(attachment)
    with pytest.raises(attachments.UploadRefused, match="not there any more"):
        attachments.keep(
            Attachment(id=attachment.id, user=alice, name="a.txt", num_bytes=2), io.BytesIO(b"hi")
        )
    assert not default_storage.exists(f"attachments/{attachment.id.hex[:2]}/{attachment.id.hex}")


def test_text_counts_that_is_larger_than_its_file(alice: User, settings) -> None:
    settings.ATTACHMENT_QUOTA_MB = 1

    class Swelling:
        def read(self, file, *, name):
            return Extracted(parts=(Part(place="line 1", heading="", text="x" * 2**20),))

    attachments.read(uploaded(alice).id, Swelling())
    with pytest.raises(attachments.UploadRefused, match="1 MB in all"):
        uploaded(alice)


def test_one_person_does_not_keep_all_readers_busy(alice: User, bob: User) -> None:
    mine = [uploaded(alice) for _ in range(attachments.READ_AT_ONCE)]
    theirs = uploaded(bob)
    begun = [attachments._claimed(one.id) is not None for one in mine]
    assert 0 < sum(begun) < attachments.READ_AT_ONCE
    assert attachments._claimed(theirs.id) is not None


def test_what_nobody_owns_is_cleared_away(alice: User, settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    kept, mine = uploaded(alice), Conversation.objects.create(user=alice)
    gone = Conversation.objects.create(user=alice)
    left = default_storage.save("attachments/ab/" + "ab" * 16, ContentFile(b"left"))
    fresh = default_storage.save("attachments/cd/" + "cd" * 16, ContentFile(b"arriving"))
    os.utime(default_storage.path(left), (LONG_AGO, LONG_AGO))
    os.utime(default_storage.path(str(kept.file.name)), (LONG_AGO, LONG_AGO))
    for one in (mine, gone):
        folder = documents.folder_of(one.id)
        folder.mkdir(parents=True)
        (folder / "index.sqlite3").write_bytes(b"words of a document")
        os.utime(folder, (LONG_AGO, LONG_AGO))
    # With all that is a person's, as when an account is removed.
    Conversation.objects.filter(id=gone.id).delete()
    for part in tasks.TIDIED:
        part()
    assert [documents.folder_of(one).exists() for one in (mine.id, gone.id)] == [True, False]
    there = [default_storage.exists(name) for name in (str(kept.file.name), fresh, left)]
    assert there == [True, True, False]
    default_storage.delete(fresh)
