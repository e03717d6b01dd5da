"""Usage records with filters, and their totals under the same filters: by model, by day and by user."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from webapp.billing import usage
from webapp.billing.admin.read_only import ReadOnlyAdmin, show_money
from webapp.billing.models import UsageRecord


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "user",
        "model",
        "source",
        "finish_reason",
        "uncached",
        "cached",
        "output",
        "reasoning",
        "cost",
    )
    list_filter = (
        "created_at",
        "model",
        "source",
        ("user", admin.RelatedOnlyFieldListFilter),
        "finish_reason",
        "is_estimated",
    )
    list_select_related = ("user", "model")
    search_fields = ("reference", "user__username", "user__email", "api_key__prefix")
    date_hierarchy = "created_at"

    @admin.display(description=_("input"), ordering="input_uncached_tokens")
    def uncached(self, record: UsageRecord) -> str:
        return f"{record.input_uncached_tokens:,}"

    @admin.display(description=_("cached"), ordering="input_cached_tokens")
    def cached(self, record: UsageRecord) -> str:
        return f"{record.input_cached_tokens:,}"

    @admin.display(description=_("output"), ordering="output_tokens")
    def output(self, record: UsageRecord) -> str:
        return f"{record.output_tokens:,}"

    @admin.display(description=_("of it reasoning"), ordering="reasoning_tokens")
    def reasoning(self, record: UsageRecord) -> str:
        return f"{record.reasoning_tokens:,}"

    @admin.display(description=_("cost"), ordering="cost_nano")
    def cost(self, record: UsageRecord) -> str:
        return show_money(record.cost_nano, record.currency)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.totals_view)
        return [path("totals/", view, name="billing_usagerecord_totals"), *super().get_urls()]

    def totals_view(self, request: HttpRequest) -> HttpResponse:
        """The totals of the records that the list shows under the same filters."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        change_list = self.get_changelist_instance(request)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Usage totals"),
            "opts": self.opts,
            "cl": change_list,
            "grand_totals": usage.grand_totals(change_list.queryset),
            "tables": _tables(change_list.queryset),
        }
        return render(request, "admin/billing/usagerecord/totals.html", context)


def _tables(records: QuerySet[UsageRecord]) -> list[dict[str, object]]:
    return [
        {"title": _("By model"), "name": _("Model"), "totals": usage.totals(records, by="model")},
        {"title": _("By day"), "name": _("Day"), "totals": usage.totals(records, by="day")},
        {"title": _("By user"), "name": _("User"), "totals": usage.totals(records, by="user")},
    ]
