"""Plans, quotas, budgets and vouchers, which an operator makes; invoices, alarms and proofs, which make
themselves. A voucher's code is shown once, in the message after it was made."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from webapp.billing import budgets, papers, pricing, subjects, vouchers
from webapp.billing.admin.read_only import ReadOnlyAdmin, show_money
from webapp.billing.models import Alarm, Budget, Invoice, Plan, Proof, Quota, Scope, Voucher

if TYPE_CHECKING:
    PlanBase = admin.ModelAdmin[Plan]
    QuotaBase = admin.ModelAdmin[Quota]
    BudgetBase = admin.ModelAdmin[Budget]
    VoucherBase = admin.ModelAdmin[Voucher]
    BudgetFormBase = forms.ModelForm[Budget]
    QuotaFormBase = forms.ModelForm[Quota]
    VoucherFormBase = forms.ModelForm[Voucher]
else:
    PlanBase = QuotaBase = BudgetBase = VoucherBase = admin.ModelAdmin
    BudgetFormBase = QuotaFormBase = VoucherFormBase = forms.ModelForm

LIMITS = ("concurrency", "requests_per_minute", "tokens_per_minute", "tokens_per_day")


class _Amount(forms.DecimalField):
    def __init__(self, label: Any, **options: Any) -> None:
        super().__init__(label=label, min_value=0, max_digits=12, decimal_places=6, **options)


@admin.register(Plan)
class PlanAdmin(PlanBase):
    list_display = ("name", "from_top_up", *LIMITS)
    search_fields = ("name",)


WHOSE = _("A user's or team's name, a project's, the beginning of a key, or an id.")
OF_OTHERS = _("Of a model its name; of everybody nothing.")


def _subject_of(form: "QuotaForm | BudgetForm", cleaned: dict[str, Any]) -> None:
    """Put the id in the place of what was said, or say that there is nobody: a limit that counts nothing must
    not look like one."""
    if "scope" not in cleaned or "subject" not in cleaned:
        return
    try:
        cleaned["subject"] = subjects.find(cleaned["scope"], cleaned["subject"] or "")
    except subjects.NoSubject:
        form.add_error("subject", _("There is nobody and nothing of this name or id, or more than one."))


class QuotaForm(QuotaFormBase):
    class Meta:
        model = Quota
        fields = ("scope", "subject", *LIMITS)
        help_texts: ClassVar = {
            "subject": format_lazy("{} {}", WHOSE, _("Of a model its name; of everybody nothing."))
        }

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        _subject_of(self, cleaned)
        return cleaned


@admin.register(Quota)
class QuotaAdmin(QuotaBase):
    form = QuotaForm
    list_display = ("scope", "whose", *LIMITS)
    list_filter = ("scope",)
    search_fields = ("subject",)

    @admin.display(description=_("whose"))
    def whose(self, quota: Quota) -> str:
        return subjects.name_of(quota.scope, quota.subject)


class BudgetForm(BudgetFormBase):
    soft = _Amount(_("Soft"), required=False, help_text=_("Who crosses it is told."))
    hard = _Amount(_("Hard"), required=False, help_text=_("Nothing is begun that could cross it."))

    class Meta:
        model = Budget
        fields = ("scope", "subject", "period", "currency")
        help_texts: ClassVar = {"subject": WHOSE}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "scope" in self.fields:  # of a budget that is there it is not asked
            scope = self.fields["scope"]
            assert isinstance(scope, forms.TypedChoiceField)
            scope.choices = [(one, label) for one, label in Scope.choices if one in subjects.ROWS]
        for name in ("soft", "hard"):
            nano = getattr(self.instance, f"{name}_nano")
            self.fields[name].initial = None if nano is None else pricing.to_decimal(nano).normalize()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        _subject_of(self, cleaned)
        for name in ("soft", "hard"):
            amount: Decimal | None = cleaned.get(name)
            setattr(self.instance, f"{name}_nano", None if amount is None else pricing.to_nano(amount))
        return cleaned


@admin.register(Budget)
class BudgetAdmin(BudgetBase):
    form = BudgetForm
    list_display = ("scope", "whose", "period", "soft", "hard", "spent", "held")
    list_filter = ("scope", "period", "currency")
    search_fields = ("subject",)

    @admin.display(description=_("whose"))
    def whose(self, budget: Budget) -> str:
        return subjects.name_of(budget.scope, budget.subject)

    @admin.display(description=_("soft"))
    def soft(self, budget: Budget) -> str:
        return "" if budget.soft_nano is None else show_money(budget.soft_nano, budget.currency)

    @admin.display(description=_("hard"))
    def hard(self, budget: Budget) -> str:
        return "" if budget.hard_nano is None else show_money(budget.hard_nano, budget.currency)

    @admin.display(description=_("spent"))
    def spent(self, budget: Budget) -> str:
        return show_money(budgets.state(budget).spent_nano, budget.currency)

    @admin.display(description=_("held"))
    def held(self, budget: Budget) -> str:
        return show_money(budget.held_nano, budget.currency)

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        """What holds are counted under stays what it is."""
        return ("scope", "subject", "period", "currency") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Budget | None = None) -> bool:
        """Not while something is held under it."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.held_nano == 0)


class VoucherForm(VoucherFormBase):
    amount = _Amount(_("Amount"))

    class Meta:
        model = Voucher
        fields = ("currency", "note", "expires_at")

    def clean_amount(self) -> Any:
        if not self.cleaned_data["amount"]:
            raise forms.ValidationError(_("A voucher is worth more than zero."))
        return self.cleaned_data["amount"]


@admin.register(Voucher)
class VoucherAdmin(VoucherBase):
    form = VoucherForm
    list_display = ("prefix", "amount", "note", "created_at", "expires_at", "redeemed_at", "redeemed_by")
    list_filter = (("redeemed_at", admin.EmptyFieldListFilter), "currency")
    list_select_related = ("redeemed_by__user", "redeemed_by__team")
    search_fields = ("prefix", "note")

    @admin.display(description=_("amount"), ordering="amount_nano")
    def amount(self, voucher: Voucher) -> str:
        return show_money(voucher.amount_nano, voucher.currency)

    def save_model(self, request: HttpRequest, obj: Voucher, form: VoucherForm, change: bool) -> None:
        said = form.cleaned_data
        voucher, code = vouchers.create(
            said["amount"], currency=said["currency"], note=said["note"], expires_at=said["expires_at"]
        )
        obj.__dict__.update(voucher.__dict__)
        note = _("The code is %(code)s. Copy it now: it is not shown again.") % {"code": code}
        self.message_user(request, note, messages.WARNING)

    def has_change_permission(self, request: HttpRequest, obj: Voucher | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Voucher | None = None) -> bool:
        """One that was redeemed is in the ledger."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.redeemed_at is None)


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = ("number", "owner", "month", "total", "issued_at", "downloads")
    list_filter = ("month", "currency")
    search_fields = ("number", "owner")
    fields = ("number", "owner", "month", "total", "issued_at", "downloads")

    @admin.display(description=_("total"), ordering="total_nano")
    def total(self, invoice: Invoice) -> str:
        return show_money(invoice.total_nano, invoice.currency)

    @admin.display(description=_("as"))
    def downloads(self, invoice: Invoice) -> str:
        links = {
            kind: reverse("admin:billing_invoice_paper", args=[invoice.pk, kind]) for kind in papers.KINDS
        }
        return format_html('<a href="{}">HTML</a> <a href="{}">PDF</a> <a href="{}">CSV</a>', *links.values())

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.paper_view)
        return [path("<int:pk>/paper.<str:kind>", view, name="billing_invoice_paper"), *super().get_urls()]

    def paper_view(self, request: HttpRequest, pk: int, kind: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if kind not in papers.KINDS:
            raise Http404
        return papers.of(get_object_or_404(Invoice, pk=pk), kind)


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    list_display = ("at", "kind", "subject", "text", "seen_at")
    list_filter = ("kind", "at")
    search_fields = ("subject", "text")


@admin.register(Proof)
class ProofAdmin(ReadOnlyAdmin):
    list_display = ("at", "is_sound", "took_ms")
    list_filter = ("is_sound",)
