"""The administration: Django's own, under the platform's name and a policy that its scripts can live with."""

from collections.abc import Callable
from typing import Any, cast

from csp.decorators import csp_replace
from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _

# jQuery, which the admin brings, sets innerHTML as it loads. The rest of the site's policy holds here too.
with_usable_policy = csp_replace({"require-trusted-types-for": None})


class PlatformAdminSite(AdminSite):
    site_title = _("Kimi K2 Thinking")
    site_header = _("Kimi K2 Thinking administration")
    index_title = _("Users, models, prices and usage")

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        return with_usable_policy(super().admin_view(view, cacheable))

    def get_urls(self) -> list[Any]:
        return [path("tools/", self.admin_view(self.tools_view), name="tools"), *super().get_urls()]

    def tools_view(self, request: HttpRequest) -> HttpResponse:
        """What the tools of turns have to work with."""
        from chat import tool_status  # as below

        if not request.user.has_perm("catalog.view_searchengine"):
            raise PermissionDenied
        status = tool_status.status()
        context = {**self.each_context(request), "title": _("Tools"), "status": status}
        return render(request, "admin/tools.html", context)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """With the page of tools beside the lists of rows."""
        apps: list[Any] = super().get_app_list(request, app_label)
        for app in apps:
            if app["app_label"] == "catalog" and request.user.has_perm("catalog.view_searchengine"):
                page = {"name": _("Tools: what they have to work with"), "object_name": "tools", "perms": {}}
                page |= {"admin_url": reverse("admin:tools"), "add_url": None, "view_only": True}
                app["models"].append(page)
        return apps

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Not above: this module is read before the apps' models may be.
        from webapp.accounts.forms import AdminSignInForm

        self.login_form = AdminSignInForm
        response = super().login(request, extra_context)
        return cast(HttpResponse, with_usable_policy(lambda _request: response)(request))


class PlatformAdminConfig(AdminConfig):
    default_site = "webapp.admin_site.PlatformAdminSite"
