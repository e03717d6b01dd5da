"""Shared chats: the dialog that makes a link, the public page it leads to, the list of one's links."""

import re
from http import HTTPStatus
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from chat import adoption, answer_marks, markdown, shares, snapshots
from chat.forms import ShareForm
from chat.models import Conversation, Share
from chat.snapshots import Exchange
from webapp.accounts import attempts
from webapp.accounts.models import User

# A picture or a file of the conversation is not handed on: what it is called stays.
PICTURE = re.compile(r'<img [^>]*?alt="([^"]*)"[^>]*>')
OWN_FILE = re.compile(r'<a href="(?:files/|/artifacts/)[^"]*"[^>]*>(.*?)</a>', re.DOTALL)


class PageRequest(HttpRequest):
    """A request of a signed-in person."""

    user: User


@login_required
@require_http_methods(["GET", "POST"])
def share(request: PageRequest, conversation_id: UUID) -> HttpResponse:
    """The dialog; then the link, which is shown this once."""
    mine = Conversation.objects.for_user(request.user).kept()
    conversation = get_object_or_404(mine, pk=conversation_id)
    form = ShareForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made, token = shares.create(conversation, **form.cleaned_data)
        except snapshots.NothingFinished:
            form.add_error(
                None, _("There is no finished answer to share yet. Share the chat when it has one.")
            )
        except shares.TooManyShares:
            form.add_error(None, _("You have too many links. Revoke some in the settings, then try again."))
        else:
            link = request.build_absolute_uri(reverse("shared", args=[token]))
            return render(request, "chat/_share_made.html", {"share": made, "link": link})
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    context = {"conversation": conversation, "form": form}
    return render(request, "chat/_share.html", context, status=status)


@never_cache
@require_GET
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """The public page: for anybody with the link, and for no search engine."""
    if wait_s := attempts.take("shared", "", request):
        response = render(request, "chat/shared_wait.html", status=HTTPStatus.TOO_MANY_REQUESTS)
        response["Retry-After"] = str(int(wait_s) + 1)
        return _private(response)
    found = _found(token)
    snapshot = shares.snapshot_of(found)
    exchanges = [
        {"said": one, "answer": _answer(one, number), "number": number}
        for number, one in enumerate(snapshot.exchanges, start=1)
    ]
    context = {"share": found, "snapshot": snapshot, "exchanges": exchanges, "token": token}
    return _private(render(request, "chat/shared.html", context))


@login_required
@require_POST
def go_on(request: PageRequest, token: str) -> HttpResponse:
    """A copy among one's own chats, to be gone on with."""
    try:
        conversation = adoption.adopt(request.user, shares.snapshot_of(_found(token)))
    except adoption.NoModel:
        messages.error(request, _("No model is offered yet. An administrator can switch one on."))
        return redirect("shared", token)
    return redirect("conversation", conversation.pk)


@login_required
@require_GET
def links(request: PageRequest) -> HttpResponse:
    context = {"shares": shares.of_user(request.user), "section": "links"}
    return render(request, "chat/shared_links.html", context)


@login_required
@require_POST
def revoke(request: PageRequest, share_id: UUID) -> HttpResponse:
    shares.revoke(get_object_or_404(Share.objects.for_user(request.user), pk=share_id))
    messages.success(request, _("The link leads nowhere from now on."))
    return redirect("shared_links")


def _found(token: str) -> Share:
    found = shares.find(token)
    if found is None:
        raise Http404
    return found


def _private(response: HttpResponse) -> HttpResponse:
    """Not for search engines, and its address for no other site."""
    response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    response["Referrer-Policy"] = "same-origin"
    return response


def _answer(exchange: Exchange, number: int) -> SafeString:
    """The answer with a pill for each source; without what only its person may load."""
    html = OWN_FILE.sub(r"\1", PICTURE.sub(r"\1", markdown.render(exchange.answer)))
    names = {source.number: source.title or source.address for source in exchange.sources}

    def pill(cited: int) -> str:
        label = _("Source %(number)s: %(title)s") % {"number": cited, "title": names[cited]}
        place = f"#source-{number}-{cited}"
        return format_html('<a class="cite" href="{}" aria-label="{}">{}</a>', place, label, cited)

    return mark_safe(answer_marks.with_citations(html, names, draw=pill))
