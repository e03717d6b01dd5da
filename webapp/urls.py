"""Every address of the site outside the data plane (see webapp/api and webapp/asgi.py)."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("webapp.health")),
    path("", include("webapp.reference")),
    path("", include("webapp.installable")),
    path("", include("webapp.accounts.urls")),
    path("", include("webapp.dashboard.urls")),
    path("", include("chat.urls")),
    path("", include("chat.sharing_urls")),
    path("", include("chat.personal_urls")),
]
