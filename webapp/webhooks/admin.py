"""Webhooks in the administration: endpoints without their secrets, and the log of what was sent."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from webapp.webhooks.models import Delivery, Endpoint

if TYPE_CHECKING:
    EndpointBase = admin.ModelAdmin[Endpoint]
    DeliveryBase = admin.ModelAdmin[Delivery]
else:
    EndpointBase = DeliveryBase = admin.ModelAdmin


@admin.register(Endpoint)
class EndpointAdmin(EndpointBase):
    list_display = ("name", "user", "url", "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("name", "url", "user__username")
    exclude = ("secret",)
    readonly_fields = ("user", "api_key", "url", "event_types", "created_at", "updated_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(DeliveryBase):
    list_display = ("event_type", "endpoint", "state", "num_tries", "status_code", "error", "created_at")
    list_filter = ("state", "event_type")
    search_fields = ("event_id", "endpoint__url")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
