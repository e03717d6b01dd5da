"""The two stages, for a frame on any page of the site: the same for everybody, signed in or not."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_safe

from chat import preview_views, stages


@require_safe
@xframe_options_exempt
def diagrams(request: HttpRequest) -> HttpResponse:
    return HttpResponse(stages.diagrams(), headers=stages.diagrams_headers())


@require_safe
@xframe_options_exempt
def pages(request: HttpRequest) -> HttpResponse:
    headers = stages.pages_headers(library=preview_views.library_place(request))
    return HttpResponse(stages.pages(library=preview_views.library_url(request)), headers=headers)
