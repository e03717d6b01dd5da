"""Files that programs send and get, and batches of requests that are made from one."""

from typing import ClassVar, Self

from django.conf import settings
from django.db import models

from webapp.accounts.models import ApiKey, User


class StoredFileQuerySet(models.QuerySet["StoredFile"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class StoredFile(models.Model):
    """A file of a program's, or the output of a batch of its."""

    class Purpose(models.TextChoices):
        EXTRACT = "file-extract"
        BATCH = "batch"
        BATCH_OUTPUT = "batch_output"

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    purpose = models.CharField(max_length=16, choices=Purpose)
    filename = models.CharField(max_length=255)
    num_bytes = models.PositiveBigIntegerField()
    file = models.FileField(upload_to="programs/", max_length=200)
    text = models.TextField(blank=True)  # of one to extract
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["StoredFile"]] = StoredFileQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        indexes: ClassVar = [models.Index(fields=("user", "-created_at"), name="files_of_user")]

    def __str__(self) -> str:
        return f"{self.id} {self.filename}"


class BatchQuerySet(models.QuerySet["Batch"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class Batch(models.Model):
    """Requests that are answered when there is time. A Celery worker drives it by lease, and another goes on
    where one died: the lines say how far it is.
    """

    class Status(models.TextChoices):
        VALIDATING = "validating"
        FAILED = "failed"
        IN_PROGRESS = "in_progress"
        FINALIZING = "finalizing"
        COMPLETED = "completed"
        EXPIRED = "expired"
        CANCELLING = "cancelling"
        CANCELLED = "cancelled"

    OPEN = (Status.VALIDATING, Status.IN_PROGRESS, Status.FINALIZING, Status.CANCELLING)

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    input_file = models.ForeignKey(StoredFile, on_delete=models.PROTECT, related_name="+")
    output_file = models.ForeignKey(StoredFile, on_delete=models.SET_NULL, null=True, related_name="+")
    error_file = models.ForeignKey(StoredFile, on_delete=models.SET_NULL, null=True, related_name="+")
    completion_window = models.CharField(max_length=8)
    metadata = models.JSONField(default=dict)
    status = models.CharField(max_length=12, choices=Status, default=Status.VALIDATING)
    errors = models.JSONField(default=list)
    moments = models.JSONField(default=dict)  # when it came to each status, in seconds
    expires_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["Batch"]] = BatchQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        indexes: ClassVar = [
            models.Index(fields=("status", "lease_until"), name="batches_open"),
            models.Index(fields=("user", "-created_at"), name="batches_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"


class BatchLine(models.Model):
    """One request of a batch, and what came of it: written with its bill, once."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    custom_id = models.CharField(max_length=200)
    body = models.TextField()
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)  # None: not answered yet
    answer = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    output_tokens = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("number",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("batch", "number"), name="one_line_of_a_number"),
            models.UniqueConstraint(fields=("batch", "custom_id"), name="one_line_of_a_custom_id"),
        ]

    def __str__(self) -> str:
        return f"{self.batch_id} {self.custom_id}"
