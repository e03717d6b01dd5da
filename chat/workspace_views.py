"""A conversation's work folder: its files as a list, one of them, all of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import BinaryIO
from urllib.parse import quote
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from chat import previews, workspaces
from chat.models import Conversation
from webapp.accounts.models import User

CHUNK = 2**18


class PageRequest(HttpRequest):
    """A request of a signed-in person."""

    user: User


@login_required
@require_GET
def files(request: PageRequest, conversation_id: UUID) -> HttpResponse:
    conversation = _conversation(request, conversation_id)
    context = {"conversation": conversation, "files": workspaces.listing(conversation)}
    return render(request, "chat/_files.html", context)


@login_required
@require_GET
def file(request: PageRequest, conversation_id: UUID, path: str) -> HttpResponse:
    """The file to be kept. Only pictures say what they are: an answer shows them from here."""
    with ExitStack() as stack:
        try:
            source, about = stack.enter_context(
                workspaces.opened(_conversation(request, conversation_id), path)
            )
        except (workspaces.BadPath, workspaces.NoSuchFile):
            raise Http404 from None
        pieces = _content(source, stack.pop_all())
    is_picture = previews.kind_of(path) == "picture"
    media_type = previews.media_type_of(path) if is_picture else previews.PLAIN
    response = StreamingHttpResponse(_streamed(pieces), content_type=media_type)
    response["Content-Length"] = str(about.num_bytes)
    return _kept(response, path.rpartition("/")[2])


@login_required
@require_GET
def files_zip(request: PageRequest, conversation_id: UUID) -> HttpResponse:
    conversation = _conversation(request, conversation_id)
    response = StreamingHttpResponse(
        _streamed(workspaces.zipped(conversation)), content_type="application/zip"
    )
    return _kept(response, f"{conversation.title or 'files'}.zip")


def _content(source: BinaryIO, opened: ExitStack) -> Iterator[bytes]:
    with opened:
        while chunk := source.read(CHUNK):
            yield chunk


async def _streamed(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """An iterator that is not asynchronous would be read to its end before the first byte is sent."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def _kept(response: StreamingHttpResponse, name: str) -> HttpResponse:
    response["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    response["X-Content-Type-Options"] = "nosniff"
    return response  # type: ignore[return-value]  # both are answers to a view


def _conversation(request: PageRequest, conversation_id: UUID) -> Conversation:
    return get_object_or_404(Conversation.objects.for_user(request.user), pk=conversation_id)
