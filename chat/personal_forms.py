"""What people fill in about how they like to work."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agents import limits
from chat.models import Memory, Preferences, Preset, Thinking
from webapp.accounts.models import User
from webapp.catalog.models import ServedModel

# The type parameter is for the type checker alone.
if TYPE_CHECKING:
    PreferencesForm = forms.ModelForm[Preferences]
    PresetFormBase = forms.ModelForm[Preset]
else:
    PreferencesForm = PresetFormBase = forms.ModelForm

MEGABYTE = 2**20
INPUT = {"class": "input"}


class ChatForm(PreferencesForm):
    class Meta:
        model = Preferences
        fields = ("instructions", "thinking", "max_sandbox_seconds", "max_fetched_mb")
        labels = {
            "instructions": _("Instructions for every answer"),
            "thinking": _("New chats begin"),
            "max_sandbox_seconds": _("Seconds of code a turn may run"),
            "max_fetched_mb": _("Megabytes of pages a turn may fetch"),
        }
        help_texts = {
            "instructions": _(
                "How you want answers: language, length, what you work on. They go with each new turn."
            ),
            "max_sandbox_seconds": _("Leave it empty for as much as the effort allows."),
            "max_fetched_mb": _("Leave it empty for as much as the effort allows."),
        }
        widgets = {
            "instructions": forms.Textarea(attrs=INPUT | {"rows": 5}),
            "thinking": forms.Select(attrs=INPUT),
            "max_sandbox_seconds": forms.NumberInput(attrs=INPUT | {"min": 1}),
            "max_fetched_mb": forms.NumberInput(attrs=INPUT | {"min": 1}),
        }

    def clean_max_sandbox_seconds(self) -> int | None:
        return self._within("max_sandbox_seconds", limits.HIGHEST.max_sandbox_seconds)

    def clean_max_fetched_mb(self) -> int | None:
        most = limits.HIGHEST.max_fetched_bytes
        return self._within("max_fetched_mb", most and most // MEGABYTE)

    def _within(self, name: str, most: int | None) -> int | None:
        value: int | None = self.cleaned_data[name]
        if value is not None and (value < 1 or (most is not None and value > most)):
            raise forms.ValidationError(
                _("Choose a number from 1 to %(most)d, or leave it empty.") % {"most": most or value}
            )
        return value


class NotificationForm(PreferencesForm):
    class Meta:
        model = Preferences
        fields = ("notifies_browser", "notifies_email", "notifies_after_s")
        labels = {
            "notifies_browser": _("In the browser, while a page of this site is open"),
            "notifies_email": _("By email"),
            "notifies_after_s": _("Only runs that took at least, in seconds"),
        }
        widgets = {"notifies_after_s": forms.NumberInput(attrs=INPUT | {"min": 0, "max": 86_400})}

    def clean_notifies_after_s(self) -> int:
        seconds = int(self.cleaned_data["notifies_after_s"])
        if seconds > 86_400:
            raise forms.ValidationError(_("Choose a day (86400) at most."))
        return seconds


class MemoryForm(forms.Form):
    text = forms.CharField(
        label=_("Something to remember"),
        max_length=Memory.TEXT_CHARS,
        widget=forms.TextInput(attrs=INPUT | {"autocomplete": "off"}),
    )


class PresetForm(PresetFormBase):
    tools = forms.MultipleChoiceField(
        label=_("Tools"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: all of them."),
    )

    class Meta:
        model = Preset
        fields = ("name", "model", "thinking", "instructions", "tools")
        labels = {"thinking": _("Begins"), "name": _("Name"), "model": _("Model")}
        widgets = {
            "name": forms.TextInput(attrs=INPUT | {"autocomplete": "off"}),
            "model": forms.Select(attrs=INPUT),
            "thinking": forms.Select(attrs=INPUT),
            "instructions": forms.Textarea(attrs=INPUT | {"rows": 4}),
        }

    def __init__(self, *args: Any, user: User, tools: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._user = user
        choice, model = self.fields["tools"], self.fields["model"]
        assert isinstance(choice, forms.MultipleChoiceField)
        assert isinstance(model, forms.ModelChoiceField)
        choice.choices = [(name, name) for name in tools]
        model.queryset = ServedModel.objects.offered()
        model.empty_label = str(_("The one that is chosen"))
        self.fields["thinking"].choices = Thinking.choices  # type: ignore[attr-defined]  # a choice field

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        others = Preset.objects.filter(user=self._user, name=name).exclude(pk=self.instance.pk)
        if others.exists():
            raise forms.ValidationError(_("You have a preset of this name. Choose another."))
        return name

    def clean_tools(self) -> list[str] | None:
        return list(self.cleaned_data["tools"]) or None


class DeleteAccountForm(forms.Form):
    """Asks for the password: a device that was left open deletes nothing."""

    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        widget=forms.PasswordInput(attrs=INPUT | {"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self._user = user

    def clean_password(self) -> str:
        password = str(self.cleaned_data["password"])
        if not self._user.check_password(password):
            raise forms.ValidationError(_("This is not your password. Nothing was deleted."))
        return password
