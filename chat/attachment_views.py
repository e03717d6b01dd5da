"""Files on their way into a chat: sent, looked after, thrown away, and given back. Another's is 404."""

from http import HTTPStatus
from typing import IO, Any, cast
from urllib.parse import unquote
from uuid import UUID, uuid4

from django.http import FileResponse, Http404, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from chat import attachments, wording
from chat.attachments import UploadRefused
from chat.models import Attachment
from chat.views import PageRequest
from webapp.billing import limits

UPLOAD_S = 600  # that an upload has its place, unless its process dies
_STATUS = {
    "file_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "quota_exceeded": HTTPStatus.INSUFFICIENT_STORAGE,
}


@require_POST
def upload(request: PageRequest) -> HttpResponse:
    """One file, as the body; its name, in percent-encoding, is the header X-File-Name."""
    if not request.user.is_authenticated:
        return JsonResponse({"code": "signed_out"}, status=HTTPStatus.UNAUTHORIZED)
    length = request.headers.get("Content-Length", "")
    if not length.isdigit():
        return JsonResponse({"code": "no_length"}, status=HTTPStatus.LENGTH_REQUIRED)
    user_id, lease_id = request.user.pk, str(uuid4())
    try:
        limits.enter("upload", user_id=user_id, lease_id=lease_id, ttl_s=UPLOAD_S)
        name = unquote(request.headers.get("X-File-Name", ""), errors="replace")
        attachment = attachments.begin(request.user, name=name, num_bytes=int(length))
        attachment = attachments.keep(attachment, cast(IO[bytes], request))
    except UploadRefused as refused:
        status = _STATUS.get(refused.code, HTTPStatus.UNPROCESSABLE_ENTITY)
        return JsonResponse({"code": refused.code, "message": refused.message}, status=status)
    except limits.RateLimited as limited:
        about = {"code": limited.code, "message": str(limited)}
        return JsonResponse(about, status=HTTPStatus.TOO_MANY_REQUESTS)
    finally:
        limits.leave("upload", user_id=user_id, lease_id=lease_id)
    return JsonResponse(_about(attachment), status=HTTPStatus.CREATED)


def one(request: PageRequest, attachment_id: UUID) -> HttpResponse:
    """GET: how far it is. DELETE: throw it away, as long as it was not sent."""
    if not request.user.is_authenticated:
        return JsonResponse({"code": "signed_out"}, status=HTTPStatus.UNAUTHORIZED)
    attachment = get_object_or_404(Attachment.objects.for_user(request.user), pk=attachment_id)
    if request.method == "DELETE":
        is_gone = attachments.remove(attachment)
        return HttpResponse(status=HTTPStatus.NO_CONTENT if is_gone else HTTPStatus.CONFLICT)
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET", "DELETE"])
    return JsonResponse(_about(attachment))


@require_GET
def download(request: PageRequest, attachment_id: UUID) -> FileResponse:
    """The file as it was sent. Never shown here: what others made may be a page that acts for its reader."""
    if not request.user.is_authenticated:
        raise Http404
    attachment = get_object_or_404(Attachment.objects.for_user(request.user), pk=attachment_id)
    try:
        file = attachment.file.open("rb")
    except (OSError, ValueError) as gone:
        raise Http404 from gone
    response = FileResponse(file, as_attachment=True, filename=attachment.name)
    response["Content-Type"] = "application/octet-stream"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def _about(attachment: Attachment) -> dict[str, Any]:
    return {
        "id": str(attachment.id),
        "name": attachment.name,
        "bytes": attachment.num_bytes,
        "state": attachment.state,
        "words": wording.of_attachment(attachment),
        "is_sent": attachment.conversation_id is not None,
    }
