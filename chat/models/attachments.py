"""Files that people give to a conversation: the file, its text in parts, and which turn was given it."""

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chat.models.talk import Conversation, Turn
from webapp.accounts.models import User


def file_place(attachment: "Attachment", filename: str) -> str:
    return f"attachments/{attachment.id.hex[:2]}/{attachment.id.hex}"


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class Attachment(models.Model):
    """A file as it came, and how far its reading is.

    It belongs to nothing but its person until it is sent: then it has a conversation, and a `name` that no
    other of that conversation has. `num_bytes` is what its sender announced until it has arrived. While it is
    RECEIVED or READING, `due_at` is when the sweep rings for it; a worker that reads it puts that off.
    """

    class State(models.TextChoices):
        ARRIVING = "arriving", _("Uploading")
        RECEIVED = "received", _("Waiting to be read")
        READING = "reading", _("Being read")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Cannot be read")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="attachments")
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, null=True, blank=True, related_name="attachments"
    )
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=100)
    num_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64, blank=True)
    file = models.FileField(upload_to=file_place, max_length=200, blank=True)

    state = models.CharField(max_length=8, choices=State, default=State.ARRIVING)
    fault = models.CharField(max_length=20, blank=True)  # why it cannot be read: chat.wording has the words
    notes = models.JSONField(default=list, blank=True)  # what of it was left out
    due_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    num_parts = models.PositiveIntegerField(default=0)
    num_chars = models.PositiveIntegerField(default=0)
    num_tokens = models.PositiveIntegerField(default=0)  # as a model reads the whole of it, estimated
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["Attachment"]] = AttachmentQuerySet.as_manager()

    class Meta:
        ordering = ("created_at",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("conversation", "name"), name="one_attachment_per_name"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=("due_at",), condition=Q(state__in=("received", "reading")), name="attachments_due"
            ),
            models.Index(
                fields=("created_at",), condition=Q(conversation=None), name="attachments_never_sent"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class AttachmentPart(models.Model):
    """A piece of the text, as long as a passage. `place` is where it stands: "p. 12", "Costs, rows 2-40"."""

    attachment = models.ForeignKey(Attachment, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    place = models.CharField(max_length=200)
    heading = models.CharField(max_length=200, blank=True)
    text = models.TextField()

    class Meta:
        ordering = ("number",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("attachment", "number"), name="one_part_per_number"),
        ]

    def __str__(self) -> str:
        return f"{self.attachment_id} {self.number}"


class TurnDocument(models.Model):
    """What of an attachment a turn's question shows the model, decided when it was sent and never changed:
    all of it, the passages that fit what is asked, or its table of contents. What is shown are passages of
    the turn, from number `first_passage` on."""

    class Mode(models.TextChoices):
        WHOLE = "whole", _("Whole")
        EXCERPTS = "excerpts", _("Excerpts")
        LISTED = "listed", _("Contents")

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="documents")
    attachment = models.ForeignKey(Attachment, on_delete=models.CASCADE, related_name="shown")
    position = models.PositiveSmallIntegerField()
    mode = models.CharField(max_length=8, choices=Mode)
    is_new = models.BooleanField(default=True)  # attached to this message, not to an earlier one
    first_passage = models.PositiveIntegerField(default=1)
    num_passages = models.PositiveIntegerField(default=0)
    num_tokens = models.PositiveIntegerField(default=0)  # of what is shown, estimated

    class Meta:
        ordering = ("position",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("turn", "attachment"), name="one_document_per_turn"),
        ]

    def __str__(self) -> str:
        return f"{self.turn_id} {self.attachment_id} {self.mode}"
