"""Every address of the site outside the data plane (see webapp/api and webapp/asgi.py)."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import JavaScriptCatalog

urlpatterns = [
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("i18n/catalog.js", JavaScriptCatalog.as_view(), name="javascript_catalog"),
    path("", include("webapp.health")),
    path("", include("webapp.accounts.urls")),
    path("", include("chat.urls")),
]
