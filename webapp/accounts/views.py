"""Sign-up, sign-in, password reset, settings. A view parses, makes one domain call and answers."""

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django.views.generic import FormView

from webapp.accounts import attempts, consumption, forms, keys, team_forms
from webapp.accounts.models import ApiKey, User
from webapp.billing import accounts, daily, pricing
from webapp.billing.models import Account

# The type parameter is for the type checker alone.
if TYPE_CHECKING:
    SignUpView = FormView[forms.SignUpForm]
else:
    SignUpView = FormView


class PersonRequest(HttpRequest):
    """A request of a signed-in person."""

    user: User


class SignUp(SignUpView):
    """Makes the account and signs its owner in; 404 where the operator has closed sign-up."""

    template_name = "accounts/sign_up.html"
    form_class = forms.SignUpForm
    success_url = reverse_lazy("chat")

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not settings.SIGN_UP_OPEN:
            raise Http404
        if request.user.is_authenticated:
            return redirect("chat")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: forms.SignUpForm) -> HttpResponse:
        # By the address alone: whoever makes many accounts gives each a name of its own.
        if wait_s := attempts.take("sign_up", "", self.request):
            form.add_error(None, forms.too_many_accounts(wait_s))
            return self.form_invalid(form)
        user = form.save()
        login(self.request, user, backend="django.contrib.auth.backends.ModelBackend")
        return super().form_valid(form)


class SignIn(auth_views.LoginView):
    template_name = "accounts/sign_in.html"
    authentication_form = forms.SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **context: object) -> dict[str, object]:
        return super().get_context_data(is_sign_up_open=settings.SIGN_UP_OPEN, **context)

    def form_valid(self, form: forms.SignInForm) -> HttpResponse:  # type: ignore[override]  # its own form
        response = super().form_valid(form)
        language = form.get_user().language
        return _remember_language(response, language) if language else response


class SignInHere(SignIn):
    """The form alone, for a page whose session has ended while it was open; once signed in, the form again
    with the person's id and the new token for it to go on with."""

    template_name = "accounts/_sign_in_here.html"
    redirect_authenticated_user = False

    def form_valid(self, form: forms.SignInForm) -> HttpResponse:  # type: ignore[override]  # its own form
        super().form_valid(form)
        return self.render_to_response(self.get_context_data(form=forms.SignInForm(self.request)))


class SignOut(auth_views.LogoutView):
    pass


class PasswordReset(auth_views.PasswordResetView):
    template_name = "accounts/password_reset.html"
    email_template_name = "accounts/password_reset_email.txt"
    subject_template_name = "accounts/password_reset_subject.txt"
    form_class = forms.PasswordResetForm

    def form_valid(self, form: forms.PasswordResetForm) -> HttpResponse:  # type: ignore[override]  # its own form
        if wait_s := attempts.take("reset", form.cleaned_data["email"], self.request):
            form.add_error(None, forms.too_many_mails(wait_s))
            return self.form_invalid(form)
        return super().form_valid(form)


class PasswordResetSent(auth_views.PasswordResetDoneView):
    template_name = "accounts/password_reset_sent.html"


class PasswordResetConfirm(auth_views.PasswordResetConfirmView):
    template_name = "accounts/password_reset_confirm.html"
    form_class = forms.SetPasswordForm


class PasswordResetComplete(auth_views.PasswordResetCompleteView):
    template_name = "accounts/password_reset_complete.html"


@login_required
@require_http_methods(["GET", "POST"])
def general(request: PersonRequest) -> HttpResponse:
    form = forms.AppearanceForm(request.POST or None, instance=request.user, languages=_languages())
    if request.method == "POST" and form.is_valid():
        form.save()
        with translation.override(request.user.language or None):
            messages.success(request, _("Saved."))
        response = redirect("settings")
        if not request.user.language:
            response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
            return response
        return _remember_language(response, request.user.language)
    return render(request, "accounts/settings.html", {"form": form, "section": "general"})


@login_required
@require_http_methods(["GET", "POST"])
def keys_and_usage(request: PersonRequest) -> HttpResponse:
    account = accounts.of(request.user)
    own_nano = account.own_daily_limit_nano
    own = None if own_nano is None else pricing.to_decimal(own_nano).normalize()
    form = forms.DailyLimitForm(request.POST or None, initial={"amount": own})
    if request.method == "POST" and form.is_valid():
        daily.set_own_limit(account, form.cleaned_data["amount"])
        messages.success(request, _("Saved."))
        return redirect("keys_and_usage")
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "accounts/keys_and_usage.html", _usage_of(request, account, form), status=status)


def _usage_of(request: PersonRequest, account: Account, form: forms.DailyLimitForm) -> dict[str, object]:
    today = timezone.localdate()
    lines = consumption.lines(request.user, today=today)
    day = daily.of(account)
    return {
        "daily_form": form,
        "day": day,
        "spent_today": pricing.to_decimal(day.spent_nano),
        "daily_limit": None if day.limit_nano is None else pricing.to_decimal(day.limit_nano),
        "section": "keys",
        "keys": _keys(request),
        "base_url": request.build_absolute_uri("/v1"),
        "account": account,
        "balance": pricing.to_decimal(account.balance_nano),
        "held": pricing.to_decimal(account.held_nano),
        "totals": consumption.totals(request.user, today=today),
        "invoices": account.invoices.all()[:12],
        "voucher_form": team_forms.VoucherForm(),
        "lines": lines,
        "bars": consumption.bars(lines, today=today),
        "first_day": today - timedelta(days=consumption.DAYS - 1),
        "today": today,
    }


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def create_key(request: PersonRequest) -> HttpResponse:
    """The dialog; on success the same dialog shows the secret, which is never shown again."""
    form = forms.KeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        key, secret = keys.create(request.user, name=form.cleaned_data["name"])
        context = {"key": key, "secret": secret, "keys": _keys(request)}
        return render(request, "accounts/_key_created.html", context)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "accounts/_create_key.html", {"form": form}, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def revoke_key(request: PersonRequest, key_id: UUID) -> HttpResponse:
    key = get_object_or_404(_keys(request), pk=key_id)
    if request.method == "GET":
        return render(request, "accounts/_revoke_key.html", {"key": key})
    keys.revoke(key)
    return render(request, "accounts/_keys_changed.html", {"keys": _keys(request)})


def _keys(request: PersonRequest) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(user=request.user, revoked_at=None)


def _languages() -> list[tuple[str, str]]:
    """Each language under the name its own speakers use."""
    return [(code, translation.get_language_info(code)["name_local"]) for code, _name in settings.LANGUAGES]


def _remember_language(response: HttpResponse, language: str) -> HttpResponse:
    response.set_cookie(settings.LANGUAGE_COOKIE_NAME, language, max_age=31_536_000, samesite="Lax")
    return response
