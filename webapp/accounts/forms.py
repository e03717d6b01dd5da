"""What people fill in about themselves: sign-up, sign-in, appearance, the name of a key."""

import math
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import forms as auth_forms
from django.contrib.auth import password_validation
from django.db.models import Q
from django.forms.boundfield import BoundField
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from webapp.accounts import attempts
from webapp.accounts.models import ApiKey, User

# Django's forms take their model as a type parameter for the type checker alone.
if TYPE_CHECKING:
    UserForm = forms.ModelForm[User]
    ApiKeyForm = forms.ModelForm[ApiKey]
    UserPasswordForm = auth_forms.SetPasswordForm[User]
else:
    UserForm = ApiKeyForm = forms.ModelForm
    UserPasswordForm = auth_forms.SetPasswordForm

NOBODY = _("No account has this name and password. Check both; upper and lower case differ.")


def _dress(form: forms.BaseForm) -> None:
    """Give each text field the look of the product."""
    for field in form.fields.values():
        field.widget.attrs.setdefault("class", "input")


class SignUpForm(UserForm):
    """One password field, which the page can show, instead of two that people paste into."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 10 characters."),
    )

    class Meta:
        model = User
        fields = ("username", "email")
        labels = {"username": _("Name"), "email": _("Email")}
        help_texts = {
            "username": _("Letters, digits and @ . + - _ only; you sign in with it or with your email.")
        }
        widgets = {
            "username": forms.TextInput(
                attrs={"autocomplete": "username", "autofocus": True, "autocapitalize": "none"}
            ),
            "email": forms.EmailInput(attrs={"autocomplete": "email"}),
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _dress(self)

    def clean_username(self) -> str:
        """Nobody is called what another signs in with."""
        name = str(self.cleaned_data["username"])
        if User.objects.filter(email__iexact=name).exists():
            raise forms.ValidationError(User._meta.get_field("username").error_messages["unique"])
        return name

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"])
        if User.objects.filter(Q(email__iexact=email) | Q(username__iexact=email)).exists():
            raise forms.ValidationError(
                _("An account with this email exists. Sign in, or reset its password.")
            )
        return email

    def _post_clean(self) -> None:
        """The password is judged last, when the name and email that it must not resemble are known."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook
        password = self.cleaned_data.get("password")
        if password:
            try:
                password_validation.validate_password(password, self.instance)
            except forms.ValidationError as error:
                self.add_error("password", error)

    def save(self, commit: bool = True) -> User:
        self.instance.set_password(self.cleaned_data["password"])
        return super().save(commit)


class CountedForm(auth_forms.AuthenticationForm):
    """A sign-in whose wrong passwords are counted."""

    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username")
        if not name or not self.cleaned_data.get("password"):
            return super().clean()
        if wait_s := attempts.take("sign_in", name, self.request):
            raise forms.ValidationError(_too_many(wait_s), code="too_many_attempts")
        cleaned = super().clean()
        attempts.forget("sign_in", name, self.request)
        return cleaned


def _too_many(wait_s: float) -> str:
    minutes = math.ceil(wait_s / 60)
    return ngettext(
        "Too many wrong passwords for this name. Try again in %(minutes)d minute.",
        "Too many wrong passwords for this name. Try again in %(minutes)d minutes.",
        minutes,
    ) % {"minutes": minutes}


def too_many_mails(wait_s: float) -> str:
    minutes = math.ceil(wait_s / 60)
    return ngettext(
        "Too many mails were asked for. Try again in %(minutes)d minute.",
        "Too many mails were asked for. Try again in %(minutes)d minutes.",
        minutes,
    ) % {"minutes": minutes}


def too_many_accounts(wait_s: float) -> str:
    minutes = math.ceil(wait_s / 60)
    return ngettext(
        "Too many accounts were made from your network. Try again in %(minutes)d minute.",
        "Too many accounts were made from your network. Try again in %(minutes)d minutes.",
        minutes,
    ) % {"minutes": minutes}


class AdminSignInForm(CountedForm, AdminAuthenticationForm):
    pass


class SignInForm(CountedForm):
    """Takes a name or an email."""

    error_messages = {**auth_forms.AuthenticationForm.error_messages, "invalid_login": NOBODY}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["username"].label = _("Name or email")
        _dress(self)

    def clean_username(self) -> str:
        given = str(self.cleaned_data["username"])
        owner = User.objects.filter(email__iexact=given).first() if "@" in given else None
        return owner.username if owner and not User.objects.filter(username=given).exists() else given


class PasswordResetForm(auth_forms.PasswordResetForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _dress(self)


class SetPasswordForm(UserPasswordForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _dress(self)
        self.fields["new_password1"].help_text = _("At least 10 characters.")
        self.fields["new_password2"].label = _("The same password again")


class AppearanceForm(UserForm):
    """`language` empty follows the browser."""

    language = forms.ChoiceField(label=_("Language"), required=False)

    class Meta:
        model = User
        fields = ("theme", "language")
        widgets = {"theme": forms.RadioSelect}

    def __init__(self, *args: Any, languages: list[tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        choice = self.fields["language"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [("", _("As in the browser")), *languages]
        choice.widget.attrs["class"] = "input"

    @property
    def themes(self) -> BoundField:
        return self["theme"]


class DailyLimitForm(forms.Form):
    """What a person lets their account spend in a day; empty: as much as the platform lets it."""

    amount = forms.DecimalField(
        label=_("Your own daily limit"),
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=4,
        help_text=_("Chat and API together. Leave it empty for none."),
        widget=forms.NumberInput(attrs={"class": "input", "inputmode": "decimal", "min": "0", "step": "any"}),
    )


class KeyForm(ApiKeyForm):
    class Meta:
        model = ApiKey
        fields = ("name",)
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "off", "autofocus": True})}
        help_texts = {"name": _("What it is for, so that you know which to revoke.")}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _dress(self)
