"""Accounts with their ledger and holds. Money is added by a credit, which is a ledger entry; how much of it
may be spent in a day is set here, too."""

from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from webapp.billing import accounts, daily, pricing
from webapp.billing.admin.large import LargeTableAdmin
from webapp.billing.admin.read_only import ReadOnlyAdmin, show_money
from webapp.billing.models import Account, Hold, LedgerEntry, Plan, UsageRecord


class CreditForm(forms.Form):
    amount = forms.DecimalField(label=_("Amount"), min_value=0, max_digits=12, decimal_places=6)
    note = forms.CharField(label=_("Note"), max_length=200)
    is_paid = forms.BooleanField(
        label=_("It was paid for"),
        required=False,
        help_text=_("A top-up, which counts for the plan of the account. Otherwise it is a gift."),
    )

    def clean_amount(self) -> Any:
        amount = self.cleaned_data["amount"]
        if not amount:
            raise forms.ValidationError(_("A credit is more than zero."))
        return amount


class PlanForm(forms.Form):
    plan = forms.ModelChoiceField(
        Plan.objects.all(),
        label=_("Plan"),
        required=False,
        help_text=_("Empty: the highest plan that the account's top-ups have reached."),
    )


class DailyLimitForm(forms.Form):
    amount = forms.DecimalField(
        label=_("Daily limit"),
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=6,
        help_text=_("Empty: as for everybody (the setting DAILY_LIMIT). 0: nothing."),
    )


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("owner", "plan", "currency", "balance", "held", "daily_limit", "spent_today")
    list_filter = ("currency", "plan")
    list_select_related = ("user", "team", "plan")
    search_fields = ("user__username", "user__email", "team__name")
    fields = ("owner", "plan", "currency", "balance", "held", "daily_limit", "own_daily_limit", "spent_today")

    @admin.display(description=_("whose"), ordering="user__username")
    def owner(self, account: Account) -> str:
        return str(account.owner)

    @admin.display(description=_("balance"), ordering="balance_nano")
    def balance(self, account: Account) -> str:
        return show_money(account.balance_nano, account.currency)

    @admin.display(description=_("held"), ordering="held_nano")
    def held(self, account: Account) -> str:
        return show_money(account.held_nano, account.currency)

    @admin.display(description=_("daily limit"), ordering="daily_limit_nano")
    def daily_limit(self, account: Account) -> str:
        nano = account.daily_limit_nano
        return "" if nano is None else show_money(nano, account.currency)

    @admin.display(description=_("own daily limit"))
    def own_daily_limit(self, account: Account) -> str:
        nano = account.own_daily_limit_nano
        return "" if nano is None else show_money(nano, account.currency)

    @admin.display(description=_("spent today"))
    def spent_today(self, account: Account) -> str:
        return show_money(daily.of(account).spent_nano, account.currency)

    def get_urls(self) -> list[URLPattern]:
        credit = self.admin_site.admin_view(self.credit_view)
        limit = self.admin_site.admin_view(self.daily_limit_view)
        plan = self.admin_site.admin_view(self.plan_view)
        return [
            path("<int:account_id>/plan/", plan, name="billing_account_plan"),
            path("<int:account_id>/credit/", credit, name="billing_account_credit"),
            path("<int:account_id>/daily-limit/", limit, name="billing_account_daily_limit"),
            *super().get_urls(),
        ]

    def plan_view(self, request: HttpRequest, account_id: int) -> HttpResponse:
        """Ask for the plan whose limits hold for the account."""
        account = self._changeable(request, account_id)
        form = PlanForm(request.POST or None, initial={"plan": account.plan})
        if request.method == "POST" and form.is_valid():
            account.plan = form.cleaned_data["plan"]
            account.save(update_fields=["plan"])
            self.log_change(request, account, f"Plan: {account.plan or 'by top-ups'}")
            text = _("The plan of %(user)s was changed.") % {"user": account.owner}
            self.message_user(request, text, messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:billing_account_change", args=[account.pk]))
        title = _("Plan of %(user)s") % {"user": account.owner}
        return self._page(request, account, form, title=title, action=gettext("Plan"))

    def daily_limit_view(self, request: HttpRequest, account_id: int) -> HttpResponse:
        """Ask for an amount, and let the account spend no more in a day."""
        account = self._changeable(request, account_id)
        nano = account.daily_limit_nano
        now = None if nano is None else pricing.to_decimal(nano).normalize()
        form = DailyLimitForm(request.POST or None, initial={"amount": now})
        if request.method == "POST" and form.is_valid():
            return self._limit(request, account, form.cleaned_data["amount"])
        title, action = _("Daily limit of %(user)s") % {"user": account.owner}, gettext("Daily limit")
        return self._page(request, account, form, title=title, action=action)

    def _limit(self, request: HttpRequest, account: Account, amount: Decimal | None) -> HttpResponse:
        daily.set_limit(account, amount)
        shown = "as for everybody" if amount is None else f"{amount} {account.currency}"
        self.log_change(request, account, f"Daily limit: {shown}")
        text = _("The daily limit of %(user)s was changed.") % {"user": account.owner}
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:billing_account_change", args=[account.pk]))

    def credit_view(self, request: HttpRequest, account_id: int) -> HttpResponse:
        """Ask for an amount and a note, and credit the account with it."""
        account = self._changeable(request, account_id)
        form = CreditForm(request.POST or None)
        if form.is_valid():
            return self._credit(request, account, form)
        title = _("Credit %(user)s") % {"user": account.owner}
        return self._page(request, account, form, title=title, action=gettext("Credit"))

    def _changeable(self, request: HttpRequest, account_id: int) -> Account:
        if not request.user.has_perm("billing.change_account"):
            raise PermissionDenied
        return get_object_or_404(Account.objects.select_related("user", "team"), pk=account_id)

    def _page(
        self, request: HttpRequest, account: Account, form: forms.Form, *, title: str, action: str
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "action": action,
            "opts": self.opts,
            "account": account,
            "balance": self.balance(account),
            "form": form,
        }
        return render(request, "admin/billing/account/money.html", context)

    def _credit(self, request: HttpRequest, account: Account, form: CreditForm) -> HttpResponse:
        amount, note = form.cleaned_data["amount"], form.cleaned_data["note"]
        put = accounts.top_up if form.cleaned_data["is_paid"] else accounts.give
        put(account, amount, note)
        self.log_change(request, account, f"Credited {amount} {account.currency}: {note}")
        text = _("%(user)s was credited %(amount)s %(currency)s.")
        values = {"user": account.owner, "amount": amount, "currency": account.currency}
        self.message_user(request, text % values, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:billing_account_change", args=[account.pk]))


@admin.register(LedgerEntry)
class LedgerEntryAdmin(LargeTableAdmin):
    list_display = ("created_at", "account", "kind", "book", "amount", "note")
    list_filter = ("kind", "book", "created_at")
    list_select_related = ("account__user", "account__team")
    search_fields = ("note",)  # and whose, and for what: see below
    search_help_text = _("A word of a note, a user's or team's name, or the id of a turn, request or hold.")
    csv_columns = (
        *("pk", "created_at", "account__user__username", "account__team__name", "account__currency"),
        *("kind", "book", "amount_nano", "hold_id", "note"),
    )
    fields = ("created_at", "account", "kind", "book", "amount", "hold", "note")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LedgerEntry], search_term: str
    ) -> tuple[QuerySet[LedgerEntry], bool]:
        """By one exact thing with an index, if it is one; else within notes."""
        word = search_term.strip()
        owners = Account.objects.filter(Q(user__username=word) | Q(user__email=word) | Q(team__name=word))
        if word and (found := list(owners.values_list("pk", flat=True))):
            return queryset.filter(account__in=found), False
        if word and (holds := _holds_of(word)):
            return queryset.filter(hold__in=holds), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description=_("amount"), ordering="amount_nano")
    def amount(self, entry: LedgerEntry) -> str:
        return show_money(entry.amount_nano, entry.account.currency)


def _holds_of(word: str) -> list[UUID]:
    """Of the turn or request of this id, or the hold of this id itself."""
    holds = list(UsageRecord.objects.filter(reference=word).values_list("hold_id", flat=True))
    with suppress(ValueError):
        holds += Hold.objects.filter(pk=UUID(word)).values_list("pk", flat=True)
    return holds


@admin.register(Hold)
class HoldAdmin(LargeTableAdmin):
    list_display = ("created_at", "account", "model", "amount", "status", "expires_at")
    list_filter = ("status", "model", "created_at")
    list_select_related = ("account__user", "account__team", "model")
    search_fields = ("id", "account__user__username")
    csv_columns = (
        *("pk", "created_at", "account__user__username", "account__team__name", "account__currency"),
        *("model__name", "amount_nano", "status", "expires_at"),
    )
    fields = ("id", "account", "model", "price", "api_key", "amount", "status", "created_at", "expires_at")

    @admin.display(description=_("amount"), ordering="amount_nano")
    def amount(self, hold: Hold) -> str:
        return show_money(hold.amount_nano, hold.account.currency)
