"""What people fill in about their teams: members, projects, service keys, budgets."""

from typing import Any

from django import forms
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from webapp.accounts import keys
from webapp.accounts.models import Project, Role


def _text(**attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "input", "autocomplete": "off", **attributes})


class NameForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, widget=_text())


class MemberForm(forms.Form):
    who = forms.CharField(label=_("Name or email"), max_length=254, widget=_text())
    role = forms.ChoiceField(
        label=_("Role"), choices=Role, initial=Role.MEMBER, widget=forms.Select(attrs={"class": "input"})
    )

    def clean_who(self) -> str:
        who: str = self.cleaned_data["who"]
        if self.is_address(who):
            validate_email(who)
        return who

    @staticmethod
    def is_address(who: str) -> bool:
        """Whatever looks like one: a name may look so, too, and be anybody's."""
        return "@" in who


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role)


class ServiceKeyForm(forms.Form):
    """Empty lists forbid nothing."""

    name = forms.CharField(label=_("Name"), max_length=80, widget=_text())
    project = forms.ModelChoiceField(
        Project.objects.none(), label=_("Project"), widget=forms.Select(attrs={"class": "input"})
    )
    scopes = forms.MultipleChoiceField(
        label=_("Good for"),
        choices=[(scope, scope) for scope in keys.SCOPES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: for everything."),
    )
    model_names = forms.CharField(
        label=_("Models"),
        required=False,
        max_length=1_000,
        widget=_text(),
        help_text=_("Names with commas between. Empty: every model."),
    )
    networks = forms.CharField(
        label=_("Networks"),
        required=False,
        max_length=1_000,
        widget=_text(placeholder="10.0.0.0/8"),
        help_text=_("Who may use it from where, like 10.0.0.0/8. Empty: from everywhere."),
    )
    expires_at = forms.DateTimeField(
        label=_("Expires"),
        required=False,
        widget=forms.DateTimeInput(attrs={"class": "input", "type": "datetime-local"}),
    )

    def __init__(self, *args: Any, projects: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        choice = self.fields["project"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.queryset = projects

    def clean_model_names(self) -> list[str]:
        return _words(self.cleaned_data["model_names"])

    def clean_networks(self) -> list[str]:
        texts = _words(self.cleaned_data["networks"])
        for text in texts:
            try:
                keys.network(text)
            except ValueError:
                message = _("%(text)s is neither an address nor a network like 10.0.0.0/8.")
                raise forms.ValidationError(message % {"text": text}) from None
        return texts


class _Amount(forms.DecimalField):
    def __init__(self, label: Any) -> None:
        attributes = {"class": "input", "inputmode": "decimal", "min": "0", "step": "any"}
        widget = forms.NumberInput(attrs=attributes)
        super().__init__(
            label=label, required=False, min_value=0, max_digits=12, decimal_places=4, widget=widget
        )


class BudgetForm(forms.Form):
    """Of a month, for the whole team."""

    soft = _Amount(_("Tell us at"))
    hard = _Amount(_("Never more than"))


class VoucherForm(forms.Form):
    code = forms.CharField(
        label=_("Voucher"), max_length=60, widget=_text(placeholder="ABCDE-ABCDE-ABCDE-ABCDE")
    )


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]
