"""The models on offer: their names, prompts, limits and abilities. Keys are named here, never kept."""

from typing import TYPE_CHECKING

import redis
from django.contrib import admin
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _

from webapp.catalog import upstream_health
from webapp.catalog.models import ServedModel, Upstream

if TYPE_CHECKING:
    ServedModelBase = admin.ModelAdmin[ServedModel]
    UpstreamInlineBase = admin.StackedInline[Upstream, ServedModel]
else:
    ServedModelBase = admin.ModelAdmin
    UpstreamInlineBase = admin.StackedInline


class UpstreamInline(UpstreamInlineBase):
    model = Upstream
    extra = 0
    fields = (
        "backend", "upstream_name", "base_url", "api_key_env", "thinking_dialect", "output_parser",
        "rank", "weight", "patience_s", "is_active", "health",
    )  # fmt: skip
    readonly_fields = ("health",)

    @admin.display(description=_("health"))
    def health(self, upstream: Upstream) -> str:
        return _health(upstream) if upstream.pk else ""


@admin.register(ServedModel)
class ServedModelAdmin(ServedModelBase):
    list_display = ("label", "name", "backend", "is_active", "is_configured", "context_tokens", "position")
    list_editable = ("is_active", "position")
    list_filter = ("backend", "is_active", "is_configured")
    search_fields = ("name", "label", "upstream_name")
    fieldsets = (
        (None, {"fields": ("name", "label", "description", "is_active", "is_configured", "position")}),
        (_("Behaviour"), {"fields": ("system_prompt", "context_tokens", "max_output_tokens", "priority")}),
        (
            _("Abilities"),
            {"fields": ("thinks", "thinking_dialect", "calls_tools", "is_small", "output_parser")},
        ),
        (
            _("Backend"),
            {
                "fields": (
                    "backend",
                    "upstream_name",
                    "base_url",
                    "api_key_env",
                    "weight",
                    "patience_s",
                    "health",
                )
            },
        ),
    )
    readonly_fields = ("is_configured", "health")
    inlines = (UpstreamInline,)

    @admin.display(description=_("health"))
    def health(self, model: ServedModel) -> str:
        return _health(model)


def _health(served: ServedModel | Upstream) -> str:
    """What is known of an upstream, in a line."""
    try:
        known = upstream_health.of(served.label)
    except redis.RedisError:
        return str(_("unknown: Redis does not answer"))
    if known is None:
        return str(_("no fault within a day"))
    line = _("%(count)d faults, the last %(ago)s ago: %(fault)s") % {
        "count": known.num_faults,
        "ago": timesince(known.at),
        "fault": known.fault,
    }
    return f"{_('resting')} · {line}" if known.rests_until > timezone.now() else line
