"""The models on offer: their names, prompts, limits and abilities. Keys are named here, never kept."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from webapp.catalog.models import ServedModel

if TYPE_CHECKING:
    ServedModelBase = admin.ModelAdmin[ServedModel]
else:
    ServedModelBase = admin.ModelAdmin


@admin.register(ServedModel)
class ServedModelAdmin(ServedModelBase):
    list_display = ("label", "name", "backend", "is_active", "is_configured", "context_tokens", "position")
    list_editable = ("is_active", "position")
    list_filter = ("backend", "is_active", "is_configured")
    search_fields = ("name", "label", "upstream_name")
    fieldsets = (
        (None, {"fields": ("name", "label", "description", "is_active", "is_configured", "position")}),
        (_("Behaviour"), {"fields": ("system_prompt", "context_tokens", "max_output_tokens")}),
        (
            _("Abilities"),
            {"fields": ("thinks", "thinking_dialect", "calls_tools", "is_small", "output_parser")},
        ),
        (_("Backend"), {"fields": ("backend", "upstream_name", "base_url", "api_key_env")}),
    )
    readonly_fields = ("is_configured",)
