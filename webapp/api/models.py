"""What the API keeps for programs: responses and conversations made of items, calls, files, batches."""

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from chat.models import Turn
from webapp.accounts.models import ApiKey, User
from webapp.api.call_models import Delivered, KeyedCall
from webapp.api.file_models import Batch, BatchLine, StoredFile
from webapp.billing.models import Hold
from webapp.catalog.models import ServedModel

__all__ = [
    "Batch",
    "BatchLine",
    "Delivered",
    "Item",
    "KeyedCall",
    "Response",
    "StoredConversation",
    "StoredFile",
]


class StoredConversationQuerySet(models.QuerySet["StoredConversation"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class StoredConversation(models.Model):
    """A program's own list of items, which responses read and go on with. No conversation of the chat."""

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    metadata = models.JSONField(default=dict)
    num_items = models.PositiveIntegerField(default=0)  # that it ever had: the next item's position
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["StoredConversation"]] = StoredConversationQuerySet.as_manager()

    def __str__(self) -> str:
        return self.id


class ResponseQuerySet(models.QuerySet["Response"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class Response(models.Model):
    """An answer that is kept. One that was asked for in the foreground is stored when it is whole.

    One in the background is stored when it is asked for, and answered by a Celery worker, which holds `fence`
    and the lease, and repeats the fence with every write. `request` is the call on the backend, until it is
    made.
    An answer that may use our own tools is a turn of the chat, which knows how far it is; here it is brought
    up to date once, when it has ended. `last_number` is the sequence number of the last event.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        IN_PROGRESS = "in_progress"
        COMPLETED = "completed"
        INCOMPLETE = "incomplete"
        FAILED = "failed"
        CANCELLED = "cancelled"

    OPEN = (Status.QUEUED, Status.IN_PROGRESS)

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    model = models.ForeignKey(ServedModel, on_delete=models.PROTECT, related_name="+")
    previous = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    conversation = models.ForeignKey(
        StoredConversation, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    turn = models.OneToOneField(Turn, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    hold = models.OneToOneField(Hold, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    asked = models.JSONField(default=dict)  # what the object repeats of its request
    request = models.TextField(blank=True)
    is_background = models.BooleanField(default=False)

    status = models.CharField(max_length=12, choices=Status, default=Status.QUEUED)
    fence = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    wake_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    num_lost = models.PositiveSmallIntegerField(default=0)  # workers that died with it
    last_number = models.PositiveBigIntegerField(default=0)

    error_code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=500, blank=True)
    incomplete_reason = models.CharField(max_length=40, blank=True)
    usage = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["Response"]] = ResponseQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        indexes: ClassVar = [
            models.Index(
                fields=("wake_at",), condition=Q(status__in=("queued", "in_progress")), name="responses_open"
            ),
            models.Index(fields=("user", "-created_at"), name="responses_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"


class Item(models.Model):
    """One item: of a response its input or output, or one of a conversation. `content` is as the API writes
    it, `item_id` the id within."""

    class Side(models.TextChoices):
        INPUT = "input"
        OUTPUT = "output"

    response = models.ForeignKey(
        Response, on_delete=models.CASCADE, null=True, blank=True, related_name="items"
    )
    conversation = models.ForeignKey(
        StoredConversation, on_delete=models.CASCADE, null=True, blank=True, related_name="items"
    )
    side = models.CharField(max_length=6, choices=Side, default=Side.INPUT)
    position = models.PositiveIntegerField()
    item_id = models.CharField(max_length=128)
    content = models.JSONField()

    class Meta:
        ordering = ("position",)
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(response=None, conversation__isnull=False)
                | Q(response__isnull=False, conversation=None),
                name="item_of_one_owner",
            ),
            models.UniqueConstraint(
                fields=("response", "side", "position"),
                condition=Q(conversation=None),
                name="one_item_per_place_of_response",
            ),
            models.UniqueConstraint(
                fields=("conversation", "position"),
                condition=Q(response=None),
                name="one_item_per_place_of_conversation",
            ),
        ]

    def __str__(self) -> str:
        return self.item_id
