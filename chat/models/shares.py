"""Copies of conversations that anybody with their link may read."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models

from chat.models.talk import Conversation
from webapp.accounts.models import User


class ShareQuerySet(models.QuerySet["Share"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class Share(models.Model):
    """A branch as it was when it was shared: `content` is a chat.snapshots.Snapshot and never changes.

    Of the link's token only the SHA-256 is kept, so that who reads the database can open none. To revoke one
    is to delete its row; it goes with its conversation, too.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="shares")
    token_sha256 = models.CharField(max_length=64, unique=True)
    title = models.CharField(max_length=200, blank=True)
    content = models.JSONField()
    with_reasoning = models.BooleanField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    objects = ShareQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.title or str(self.id)
