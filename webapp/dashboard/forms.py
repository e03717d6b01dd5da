"""What an operator fills in to try other prices."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.billing.models import Currency
from webapp.catalog.models import ServedModel


class _Amount(forms.DecimalField):
    def __init__(self, label: Any) -> None:
        widget = forms.NumberInput(
            attrs={"class": "input", "min": "0", "step": "any", "inputmode": "decimal"}
        )
        super().__init__(label=label, min_value=0, max_digits=12, decimal_places=6, widget=widget)


class DryRunForm(forms.Form):
    model = forms.ModelChoiceField(
        ServedModel.objects.all(), label=_("Model"), widget=forms.Select(attrs={"class": "input"})
    )
    currency = forms.ChoiceField(
        choices=Currency, label=_("Currency"), widget=forms.Select(attrs={"class": "input"})
    )
    input = _Amount(_("Input"))
    cached_input = _Amount(_("Cached input"))
    output = _Amount(_("Output"))
    span = forms.ChoiceField(
        choices=(("7", _("7 days")), ("30", _("30 days")), ("90", _("90 days"))),
        label=_("Usage of the last"),
        widget=forms.Select(attrs={"class": "input"}),
    )
