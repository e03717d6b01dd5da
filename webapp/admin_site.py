"""The administration: Django's own, under the platform's name and a policy that its scripts can live with."""

from collections.abc import Callable
from typing import Any, cast

from csp.decorators import csp_replace
from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

# jQuery, which the admin brings, sets innerHTML as it loads. The rest of the site's policy holds here too.
with_usable_policy = csp_replace({"require-trusted-types-for": None})


class PlatformAdminSite(AdminSite):
    site_title = _("Kimi K2 Thinking")
    site_header = _("Kimi K2 Thinking administration")
    index_title = _("Users, models, prices and usage")

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        return with_usable_policy(super().admin_view(view, cacheable))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Not above: this module is read before the apps' models may be.
        from webapp.accounts.forms import AdminSignInForm

        self.login_form = AdminSignInForm
        response = super().login(request, extra_context)
        return cast(HttpResponse, with_usable_policy(lambda _request: response)(request))


class PlatformAdminConfig(AdminConfig):
    default_site = "webapp.admin_site.PlatformAdminSite"
