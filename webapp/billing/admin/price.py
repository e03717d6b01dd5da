"""The price list. A price that something was billed at stays as it is: a change is a new price."""

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from webapp.billing.models import Hold, Price

if TYPE_CHECKING:
    PriceAdminBase = admin.ModelAdmin[Price]
    PriceFormBase = forms.ModelForm[Price]
else:
    PriceAdminBase, PriceFormBase = admin.ModelAdmin, forms.ModelForm

GRACE = timedelta(minutes=5)


class PriceForm(PriceFormBase):
    class Meta:
        model = Price
        fields = (
            "model",
            "currency",
            "input_per_million",
            "cached_input_per_million",
            "output_per_million",
            "valid_from",
        )

    def clean_valid_from(self) -> Any:
        """The past is billed already; a price beginning there would tell another story than the records."""
        valid_from = self.cleaned_data["valid_from"]
        is_moved = self.instance.pk is None or "valid_from" in self.changed_data
        if is_moved and valid_from < timezone.now() - GRACE:
            raise forms.ValidationError(_("A price begins now or later: what is past is billed already."))
        return valid_from

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name in ("input_per_million", "cached_input_per_million", "output_per_million"):
            if cleaned.get(name) is not None and cleaned[name] < 0:
                self.add_error(name, _("A price is 0 or more."))
        cached, uncached = cleaned.get("cached_input_per_million"), cleaned.get("input_per_million")
        if cached is not None and uncached is not None and cached > uncached:
            self.add_error("cached_input_per_million", _("Cached input costs no more than input."))
        return cleaned


@admin.register(Price)
class PriceAdmin(PriceAdminBase):
    form = PriceForm
    list_display = (
        "model",
        "currency",
        "input",
        "cached_input",
        "output",
        "valid_from",
        "is_current",
    )
    list_filter = ("currency", "model")
    list_select_related = ("model",)
    date_hierarchy = "valid_from"

    @admin.display(description=_("input"), ordering="input_per_million")
    def input(self, price: Price) -> str:
        return _shown(price.input_per_million)

    @admin.display(description=_("cached input"), ordering="cached_input_per_million")
    def cached_input(self, price: Price) -> str:
        return _shown(price.cached_input_per_million)

    @admin.display(description=_("output"), ordering="output_per_million")
    def output(self, price: Price) -> str:
        return _shown(price.output_per_million)

    @admin.display(boolean=True, description=_("current"))
    def is_current(self, price: Price) -> bool:
        now = timezone.now()
        return price.valid_from <= now and not _siblings(price).filter(
            valid_from__gt=price.valid_from, valid_from__lte=now
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"valid_from": timezone.now(), **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return super().has_change_permission(request, obj) and not _is_billed(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not _is_billed(obj)


def _shown(amount: Decimal) -> str:
    """Two digits after the point, or as many as there are."""
    shortest = amount.normalize()
    return f"{amount:.2f}" if shortest == round(shortest, 2) else f"{shortest:f}"


def _is_billed(price: Price | None) -> bool:
    return price is not None and Hold.objects.filter(price=price).exists()


def _siblings(price: Price) -> QuerySet[Price]:
    return Price.objects.filter(model_id=price.model_id, currency=price.currency)
