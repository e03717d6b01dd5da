"""Where programs and people want to be told that something ended, and every telling of it."""

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import ApiKey, User


def endpoint_id() -> str:
    return f"we_{uuid.uuid4().hex}"


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class Endpoint(models.Model):
    """An address and the kinds of events that it is told of. `secret` signs what is sent there: unlike a key
    it must be at hand, so it is kept as it is; with it goes whoever may read the database."""

    id = models.CharField(primary_key=True, max_length=40, default=endpoint_id, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook_endpoints"
    )
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    url = models.CharField(_("URL"), max_length=2_000)
    secret = models.CharField(max_length=80)
    event_types = models.JSONField(default=list)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager["Endpoint"]] = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One event for one endpoint. `due_at` is when it is tried (again); one that was delivered or given up
    has none. `event_id` is the same whenever it is sent: who gets it twice can tell."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Given up")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="deliveries")
    event_id = models.CharField(max_length=80)
    event_type = models.CharField(max_length=60)
    body = models.TextField()
    state = models.CharField(max_length=9, choices=State, default=State.PENDING)
    num_tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)  # of the last answer
    error = models.CharField(max_length=300, blank=True)  # of the last try
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("endpoint", "event_id"), name="one_delivery_per_event"),
        ]
        indexes: ClassVar = [
            models.Index(fields=("due_at",), condition=Q(state="pending"), name="deliveries_due"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"
