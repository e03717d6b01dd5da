"""What becomes of an uploaded file before it is sent: it arrives, is read by a Celery worker, may be thrown
away. One function and one transaction for each change.

A worker that reads it holds it by `tries`: whoever comes later takes over, and what the first one then writes
changes nothing.
"""

import hashlib
import logging
import mimetypes
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, Any, BinaryIO, cast
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import BigIntegerField, Q, QuerySet, Sum
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from agents import plain_text
from agents.documents.extraction import Extracted, Extractor, ReaderBusy
from chat.models import Attachment, AttachmentPart, Conversation
from chat.models.attachments import file_place
from webapp.accounts.models import User
from webapp.billing.estimates import estimated_tokens
from webapp.database_clock import FromNow

logger = logging.getLogger(__name__)

TASK, QUEUE = "chat.tasks.read_attachment", "turns"
RING_AGAIN_S = 5
LEASE_S = 10.0  # of a worker that reads; renewed at a third of it
MAX_TRIES = 5
READ_AT_ONCE = 8  # on all machines together: turns must not wait behind files
READ_AT_ONCE_OF_ONE = 3  # person's: others must not wait behind theirs
ARRIVING_S = 3_600
MIB = 2**20
NAME_CHARS, NAME_BYTES = 120, 200
LEFT_OVER_S = 3_600
PLACE = "attachments"
PLAIN = "application/octet-stream"
State = Attachment.State


class UploadRefused(Exception):
    """The file is not taken. `code` is stable, the text says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


# ---- arriving


def begin(user: User, *, name: str, num_bytes: int) -> Attachment:
    """A place for a file of this size. Raises UploadRefused."""
    most = settings.ATTACHMENT_MB * MIB
    if num_bytes > most:
        raise too_large()
    if num_bytes == 0:
        raise UploadRefused("empty_file", _("The file is empty: choose another."))
    with transaction.atomic():
        # Two uploads at once are counted one after the other.
        User.objects.select_for_update().get(pk=user.pk)
        own = Attachment.objects.for_user(user)
        # A file's text can be far larger than the file.
        used = (
            own.aggregate(used=Sum(Greatest("num_bytes", "num_chars", output_field=BigIntegerField())))[
                "used"
            ]
            or 0
        )
        if used + num_bytes > settings.ATTACHMENT_QUOTA_MB * MIB:
            raise UploadRefused(
                "quota_exceeded",
                _("Your files would take more than %(most)d MB in all. Delete chats that you need no more.")
                % {"most": settings.ATTACHMENT_QUOTA_MB},
            )
        arriving = own.filter(conversation=None).exclude(state=State.FAILED).count()
        if arriving >= settings.ATTACHMENTS_UNSENT:
            raise UploadRefused(
                "too_many_files",
                _("%(most)d files are waiting to be sent. Send or remove some first.")
                % {"most": settings.ATTACHMENTS_UNSENT},
            )
        return Attachment.objects.create(
            user=user,
            name=plain_name(name),
            media_type=(mimetypes.guess_type(plain_name(name))[0] or PLAIN)[:100],
            num_bytes=num_bytes,
        )


def too_large() -> UploadRefused:
    return UploadRefused(
        "file_too_large",
        _("The file is larger than %(most)d MB. Split it, or attach the part that matters.")
        % {"most": settings.ATTACHMENT_MB},
    )


def keep(attachment: Attachment, stream: IO[bytes]) -> Attachment:
    """Write the file away piece by piece, and have it read. Raises UploadRefused, and then nothing is left
    of it."""
    counted = _Counted(stream, most=attachment.num_bytes)
    try:
        attachment.file.save(attachment.name, File(cast(IO[bytes], counted)), save=False)
        if counted.num_bytes != attachment.num_bytes:
            raise UploadRefused("upload_broken", _("The upload broke off. Try again."))
    except Exception:
        # Whatever went wrong, the place is given back.
        attachment.delete()
        raise
    with transaction.atomic():
        is_wanted = Attachment.objects.filter(id=attachment.id, state=State.ARRIVING).update(
            file=attachment.file.name,
            sha256=counted.sha256,
            state=State.RECEIVED,
            due_at=FromNow(RING_AGAIN_S),
        )
        transaction.on_commit(lambda: ring(attachment.id))
    if not is_wanted:  # it was thrown away meanwhile, and what was there of its file with it
        default_storage.delete(str(attachment.file.name))
        raise gone()
    attachment.refresh_from_db()
    return attachment


class _Counted:
    """What storages read from: counts and digests what passes, and never lets more through than was
    announced."""

    def __init__(self, stream: IO[bytes], *, most: int) -> None:
        self._stream = stream
        self._most = most
        self._digest = hashlib.sha256()
        self.num_bytes = 0

    def read(self, size: int = -1) -> bytes:
        try:
            chunk = self._stream.read(min(size, MIB) if size > 0 else MIB)
        except OSError as fault:
            raise UploadRefused("upload_broken", _("The upload broke off. Try again.")) from fault
        self.num_bytes += len(chunk)
        if self.num_bytes > self._most:
            raise too_large()
        self._digest.update(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def plain_name(name: str) -> str:
    """A name that a file in a folder, a line of text and a citation can have."""
    name = plain_text.neutral(plain_text.clean(name)).replace("\\", "/").rpartition("/")[2]
    name = "".join(char if char.isprintable() and char not in '<>:"|?*[]' else "_" for char in name)
    name = " ".join(name.split()).lstrip(".")
    stem, dot, ending = name.rpartition(".")
    if dot and stem and len(ending) <= 10:
        ending = f".{ending}"
        return _cut(stem, NAME_CHARS - len(ending), NAME_BYTES - len(ending.encode())) + ending
    return _cut(name, NAME_CHARS, NAME_BYTES) or "file"


def _cut(text: str, most_chars: int, most_bytes: int) -> str:
    return text[:most_chars].encode()[:most_bytes].decode(errors="ignore")


# ---- being sent


def for_message(user: User, ids: Sequence[UUID], *, conversation: Conversation | None) -> list[Attachment]:
    """The files that were uploaded for a message, or came with the one that is edited. Raises
    UploadRefused."""
    if len(ids) > settings.ATTACHMENTS_OF_A_MESSAGE:
        raise UploadRefused(
            "too_many_files",
            _("A message can have %(most)d files at most: remove some.")
            % {"most": settings.ATTACHMENTS_OF_A_MESSAGE},
        )
    own = Attachment.objects.for_user(user).filter(Q(conversation=None) | Q(conversation=conversation))
    found = own.in_bulk(list(ids))
    if len(found) < len(ids):
        raise gone()
    for one in found.values():
        if one.state == State.FAILED:
            words = _("%(name)s cannot be read: remove it, then send again.") % {"name": one.name}
            raise UploadRefused("file_failed", words)
        if one.state != State.READY:
            words = _("%(name)s is still being read: send again in a moment.") % {"name": one.name}
            raise UploadRefused("file_not_ready", words)
    return [found[one] for one in ids]


def gone() -> UploadRefused:
    words = _("A file is not there any more: remove it and attach it again.")
    return UploadRefused("unknown_file", words)


# ---- being read


def ring(attachment_id: UUID) -> None:
    """Have a Celery worker read it. If the broker is away, the sweep rings again."""
    try:
        current_app.send_task(TASK, kwargs={"attachment_id": str(attachment_id)}, queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("attachment %s: nobody to ring, left to the sweep", attachment_id)


def ring_due() -> None:
    """Ring for those that wait, and for those whose worker died; each again only after a while."""
    due = Attachment.objects.filter(state__in=(State.RECEIVED, State.READING), due_at__lte=FromNow())
    for attachment_id, tries in list(due.order_by("due_at").values_list("id", "tries")[:READ_AT_ONCE]):
        rung_again = {"state": State.RECEIVED, "due_at": FromNow(RING_AGAIN_S)}
        if due.filter(id=attachment_id, tries=tries).update(**rung_again):
            ring(attachment_id)


def read(attachment_id: UUID, extractor: Extractor) -> None:
    """Read it, if nobody does and it is still wanted. Again is harmless."""
    attachment = _claimed(attachment_id)
    if attachment is None:
        return
    try:
        with _held(attachment), attachment.file.open("rb") as file:
            extracted = extractor.read(cast(BinaryIO, file), name=attachment.name)
    except (ReaderBusy, OSError) as fault:
        logger.warning("attachment %s: could not be read now (%s)", attachment_id, type(fault).__name__)
        _put_off(attachment)
        return
    _finish(attachment, extracted)


def _claimed(attachment_id: UUID) -> Attachment | None:
    row = Attachment.objects.filter(id=attachment_id, state=State.RECEIVED).first()
    if row is None:
        return None
    if row.tries >= MAX_TRIES:
        _finish_as(row, state=State.FAILED, fault="unread")
        return None
    being_read = Attachment.objects.filter(state=State.READING, due_at__gt=FromNow())
    is_ones_turn = being_read.filter(user=row.user_id).count() < READ_AT_ONCE_OF_ONE
    if not is_ones_turn or being_read.count() >= READ_AT_ONCE:
        return None  # the sweep rings again
    taken = Attachment.objects.filter(id=row.id, state=State.RECEIVED, tries=row.tries)
    changes = {"state": State.READING, "tries": row.tries + 1, "due_at": FromNow(LEASE_S)}
    if not taken.update(**changes):
        return None
    row.refresh_from_db()
    return row


@contextmanager
def _held(attachment: Attachment) -> Iterator[None]:
    """Tell every few seconds that somebody reads it: of one that was killed, the sweep soon knows."""
    is_over = threading.Event()

    def renew() -> None:
        while not is_over.wait(LEASE_S / 3):
            _own(attachment).update(due_at=FromNow(LEASE_S))
        connection.close()

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        is_over.set()
        renewing.join()


def _put_off(attachment: Attachment) -> None:
    _own(attachment).update(state=State.RECEIVED, due_at=FromNow(2.0**attachment.tries))


def _finish(attachment: Attachment, extracted: Extracted) -> None:
    parts = [
        AttachmentPart(
            attachment=attachment, number=number, place=part.place, heading=part.heading, text=part.text
        )
        for number, part in enumerate(extracted.parts, 1)
    ]
    with transaction.atomic():
        is_ours = _finish_as(
            attachment,
            state=State.FAILED if extracted.fault else State.READY,
            fault=extracted.fault,
            notes=[dict(note) for note in extracted.notes],
            num_parts=len(parts),
            num_chars=sum(len(part.text) for part in parts),
            num_tokens=sum(tokens_of(part.place, part.text) for part in parts),
        )
        if is_ours:
            AttachmentPart.objects.bulk_create(parts, batch_size=500)


def tokens_of(place: str, text: str) -> int:
    """As a passage in a question, about."""
    return estimated_tokens(f"[1000] {place}\n{text}\n\n") + 12  # the document's name


def _finish_as(attachment: Attachment, **changes: Any) -> bool:
    return _own(attachment).update(due_at=None, **changes) == 1


def _own(attachment: Attachment) -> "QuerySet[Attachment]":
    """The row while it is ours: nobody has taken over."""
    return Attachment.objects.filter(
        id=attachment.id, state__in=(State.READING, State.RECEIVED), tries=attachment.tries
    )


# ---- the end


def remove(attachment: Attachment) -> bool:
    """Throw it away; False for one that was sent: it goes with its conversation."""
    unsent = Attachment.objects.filter(id=attachment.id, conversation=None)
    return bool(unsent.delete()[0])


def clean_up() -> None:
    """Throw away what was never sent, and uploads that broke off while a process died."""
    now = timezone.now()
    old = Q(created_at__lt=now - timedelta(hours=settings.ATTACHMENT_KEPT_HOURS))
    broken = Q(state=State.ARRIVING, created_at__lt=now - timedelta(seconds=ARRIVING_S))
    left = Attachment.objects.filter(old | broken, conversation=None)
    for attachment_id in list(left.values_list("id", flat=True)[:50]):
        left.filter(id=attachment_id).delete()


def tidy() -> None:
    """Throw away files without a row: a process died between the end of the one and of the other."""
    if not Attachment.objects.exists():
        return  # a database that knows none of them is hardly theirs
    try:
        folders = default_storage.listdir(PLACE)[0]
    except FileNotFoundError:
        return
    for folder in folders:
        names = [f"{PLACE}/{folder}/{name}" for name in default_storage.listdir(f"{PLACE}/{folder}")[1]]
        known = set(Attachment.objects.filter(file__in=names).values_list("file", flat=True))
        for name in names:
            if name not in known and _is_left_over(name):
                default_storage.delete(name)


def _is_left_over(name: str) -> bool:
    """And not just arriving."""
    try:
        changed = default_storage.get_modified_time(name)
    except FileNotFoundError:
        return False
    return changed < timezone.now() - timedelta(seconds=LEFT_OVER_S)


def forget_file(*, instance: Attachment, **_signal: object) -> None:
    """Delete the file once its row is gone for good: a receiver of Django's signal."""
    name = instance.file.name or file_place(instance, "")
    transaction.on_commit(lambda: default_storage.delete(name))
