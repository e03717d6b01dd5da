"""The administration: Django's own, under the platform's name and a policy that its scripts can live with."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from csp.decorators import csp_replace
from django.contrib.admin import AdminSite, action
from django.contrib.admin.apps import AdminConfig
from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _

# jQuery, which the admin brings, sets innerHTML as it loads. The rest of the site's policy holds here too.
with_usable_policy = csp_replace({"require-trusted-types-for": None})


@action(description=_("Save as CSV"), permissions=["view"])
def save_as_csv(model_admin: Any, request: HttpRequest, rows: Any) -> HttpResponse:
    """The chosen rows as the list shows them, column by column."""
    from webapp.dashboard import tables  # as below

    names = [str(name) for name in model_admin.get_list_display(request)]
    named = {name: str(label_for_field(name, model_admin.model, model_admin)) for name in names}

    def cells(row: Any) -> list[object]:
        values = (lookup_field(name, row, model_admin)[2] for name in names)
        return [value if isinstance(value, int | Decimal) else str(value) for value in values]

    return tables.response(
        model_admin.opts.model_name, list(named.values()), map(cells, rows.iterator(2_000))
    )


class PlatformAdminSite(AdminSite):
    site_title = _("Kimi K2 Thinking")
    site_header = _("Kimi K2 Thinking administration")
    index_title = _("Users, models, prices and usage")

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.add_action(save_as_csv)

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
