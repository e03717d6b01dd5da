"""What makes the site an app that can be installed: its manifest, its service worker, the page shown offline.

The worker keeps public files alone: static ones, named by what they hold, and the offline page.
Pages, fragments, files and the API always come from the server, so nothing of a person is ever kept.
"""

import hashlib
import json
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

# As in static/css/tokens.css; the pages' own <meta> say the colours of both themes.
GROUND = "#ffffff"
WORKER = settings.BASE_DIR / "static" / "app" / "worker.js"
SHELL = ("css/tokens.css", "css/base.css", "css/pages.css", "favicon.svg", "app/offline.js")
ICONS = (("icon-192.png", 192, "any"), ("icon-512.png", 512, "any"), ("maskable-512.png", 512, "maskable"))


@require_safe
def manifest(request: HttpRequest) -> JsonResponse:
    icons = [
        {"src": static(f"app/{name}"), "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for name, size, purpose in ICONS
    ]
    start = reverse("chat")
    body = {
        "id": start,
        "name": "Kimi K2 Thinking",
        "short_name": "Kimi K2",
        "description": _("A chat that thinks, searches and works for as long as a question needs."),
        "start_url": start,
        "scope": start,
        "display": "standalone",
        "theme_color": GROUND,
        "background_color": GROUND,
        "icons": icons,
        "shortcuts": [
            {"name": _("New chat"), "url": start, "icons": icons[:1]},
            {"name": _("Long Thinking"), "url": f"{start}?long-thinking", "icons": icons[:1]},
        ],
    }
    return JsonResponse(body, content_type="application/manifest+json")


@require_safe
@never_cache  # the browser asks for it to learn of another version
def worker(request: HttpRequest) -> HttpResponse:
    said = {
        "version": _version(),
        "offline": reverse("offline"),
        "shell": [reverse("offline"), *map(static, SHELL)],
        "files": settings.STATIC_URL,
        "lasting": settings.WHITENOISE_IMMUTABLE_FILE_TEST,
    }
    script = f"const site = {json.dumps(said)};\n{WORKER.read_text(encoding='utf-8')}"
    return HttpResponse(script, content_type="text/javascript; charset=utf-8")


@require_safe
def offline(request: HttpRequest) -> HttpResponse:
    return render(request, "offline.html")


@cache
def _version() -> str:
    """Changes with whatever the worker may keep."""
    names = settings.STATIC_ROOT / "staticfiles.json"
    parts = [WORKER.read_bytes(), render_to_string("offline.html").encode()]
    parts += [names.read_bytes()] if names.exists() else []
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:12]


urlpatterns = [
    path("manifest.webmanifest", manifest, name="manifest"),
    path("worker.js", worker, name="worker"),
    path("offline/", offline, name="offline"),
]
