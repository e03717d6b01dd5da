"""Usage records with filters, and their totals under the same filters: by model, by day and by user."""

from datetime import date, time, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from inference.schema import FinishReason
from webapp.accounts.models import ApiKey, User
from webapp.billing import figures, usage
from webapp.billing.admin.large import LargeTableAdmin
from webapp.billing.admin.read_only import show_money
from webapp.billing.figures import Span
from webapp.billing.models import LedgerEntry, UsageRecord

MOST_COUNTED = 200_000
SHOWN = 1_000
IGNORED = ("o", "p", "e", "all")
SUMMED_BY = {"model__id__exact", "user__id__exact", "api_key__id__exact", "source__exact"}


class FinishReasonFilter(admin.SimpleListFilter):
    """Of the reasons that there are, not of those that millions of rows have."""

    title = _("finish reason")
    parameter_name = "finish_reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(reason.value, reason.value) for reason in FinishReason]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        return queryset.filter(finish_reason=self.value()) if self.value() else queryset


@admin.register(UsageRecord)
class UsageRecordAdmin(LargeTableAdmin):
    change_list_template = "admin/billing/usagerecord/change_list.html"
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
        FinishReasonFilter,
        "is_estimated",
    )
    list_select_related = ("user", "model")
    search_fields = ("reference",)  # and whose: see below
    search_help_text = _("The id of a turn or request, a user's name or address, or the beginning of a key.")
    csv_columns = (
        *("pk", "created_at", "user__username", "api_key__prefix", "project__name", "model__name", "source"),
        *("reference", "finish_reason", "input_uncached_tokens", "input_cached_tokens", "output_tokens"),
        *("reasoning_tokens", "num_steps", "num_tool_calls", "first_token_ms", "duration_ms", "is_estimated"),
        *("cost_nano", "fees_nano", "currency"),
    )

    fields = (
        *("created_at", "user", "api_key", "project", "model", "source", "reference", "finish_reason"),
        *("uncached", "cached", "output", "reasoning", "num_steps", "num_tool_calls", "is_estimated"),
        *("price", "cost", "fees", "hold", "booked", "first_token_ms", "duration_ms"),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageRecord], search_term: str
    ) -> tuple[QuerySet[UsageRecord], bool]:
        """By one exact thing, each with an index: no word is looked for within millions of rows."""
        word = search_term.strip()
        if not word:
            return queryset, False
        if people := list(User.objects.filter(Q(username=word) | Q(email=word)).values_list("pk", flat=True)):
            return queryset.filter(user__in=people), False
        if keys := list(ApiKey.objects.filter(prefix=word).values_list("pk", flat=True)):
            return queryset.filter(api_key__in=keys), False
        return queryset.filter(reference=word), False

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

    @admin.display(description=_("of it for tools"))
    def fees(self, record: UsageRecord) -> str:
        return show_money(record.fees_nano, record.currency)

    @admin.display(description=_("in the ledger"))
    def booked(self, record: UsageRecord) -> str:
        address = reverse("admin:billing_ledgerentry_changelist")
        entry = LedgerEntry.objects.filter(hold=record.hold_id).first()
        shown = _("nothing: it was free") if entry is None else show_money(entry.amount_nano, record.currency)
        return format_html('<a href="{}?q={}">{}</a>', address, record.hold_id, shown)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.totals_view)
        return [path("totals/", view, name="billing_usagerecord_totals"), *super().get_urls()]

    def totals_view(self, request: HttpRequest) -> HttpResponse:
        """The totals of the records that the list shows under the same filters."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        change_list = self.get_changelist_instance(request)
        narrowed = _narrowed(request)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Usage totals"),
            "opts": self.opts,
            "cl": change_list,
            **(_counted(change_list.queryset) if narrowed is None else _summed(*narrowed)),
        }
        return render(request, "admin/billing/usagerecord/totals.html", context)


def _narrowed(request: HttpRequest) -> tuple[Span, Q] | None:
    """The days and the rest of the list's filters, where summed days know them; else None."""
    said = {name: str(value) for name, value in request.GET.items() if name not in IGNORED and value}
    begin, end = said.pop("created_at__gte", ""), said.pop("created_at__lt", "")
    if said.keys() - SUMMED_BY:
        return None
    today = timezone.localdate()
    first = UsageRecord.objects.order_by("created_at").values_list("created_at", flat=True).first()
    first_day = _day(begin) if begin else timezone.localdate(first or timezone.now())
    end_day = _day(end) if end else today + timedelta(days=1)
    if first_day is None or end_day is None:
        return None
    return Span(first_day=first_day, last_day=end_day - timedelta(days=1)), Q(**said)


def _day(text: str) -> date | None:
    """The day that begins then."""
    at = parse_datetime(text.replace(" ", "+") if text.count(" ") > 1 else text)
    if at is None or timezone.is_naive(at) or timezone.localtime(at).time() != time.min:
        return None
    return timezone.localdate(at)


def _summed(span: Span, where: Q) -> dict[str, object]:
    by_day_and_model = figures.by(span, "day", "model", where=where)
    by_model = figures.fold(by_day_and_model, lambda line: line.group[1])
    by_day = figures.fold(by_day_and_model, lambda line: line.group[0])
    by_user = sorted(figures.by(span, "user", where=where), key=lambda line: str(line.group))
    return {
        "grand_totals": figures.fold(by_day_and_model, lambda _line: ()),
        "tables": [
            {"title": _("By model"), "name": _("Model"), "totals": by_model},
            {"title": _("By day"), "name": _("Day"), "totals": by_day[::-1]},
            {"title": _("By user"), "name": _("User"), "totals": by_user[:SHOWN]},
        ],
    }


def _counted(records: QuerySet[UsageRecord]) -> dict[str, object]:
    if records.order_by()[MOST_COUNTED : MOST_COUNTED + 1].exists():
        return {"grand_totals": [], "tables": [], "is_too_much": True}
    return {"grand_totals": usage.grand_totals(records), "tables": _tables(records)}


def _tables(records: QuerySet[UsageRecord]) -> list[dict[str, object]]:
    return [
        {"title": _("By model"), "name": _("Model"), "totals": usage.totals(records, by="model")},
        {"title": _("By day"), "name": _("Day"), "totals": usage.totals(records, by="day")},
        {"title": _("By user"), "name": _("User"), "totals": usage.totals(records, by="user")},
    ]
