"""What a page asks of one turn: pieces of its trace as they stand, and what a person says to it.

A form answers a script with the piece that it changes, and a browser without script with the page again.
"""

from collections.abc import Callable, Container
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from uuid import UUID

import orjson
from django import forms as django_forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST
from django_htmx.middleware import HtmxDetails

from chat import (
    activity,
    audit,
    conversations,
    dispatch,
    evidence,
    files,
    history,
    outlines,
    runs,
    steering,
    windows,
)
from chat.dispatch import Refusal
from chat.forms import ContinueForm, DecisionForm, PlanForm
from chat.models import Artifact, Turn
from webapp.accounts.models import User

PARTS = {"plan", "agents", "waits", "notes", "ahead"}


class PageRequest(HttpRequest):
    """A request of a signed-in person, past htmx's middleware."""

    user: User
    htmx: HtmxDetails


@login_required
@require_GET
def turn(request: PageRequest, turn_id: UUID) -> HttpResponse:
    return render(request, "chat/_turn.html", {"view": history.turn_view(_turn(request, turn_id))})


@login_required
@require_GET
def part(request: PageRequest, turn_id: UUID, name: str) -> HttpResponse:
    """The plan, the agents, what waits, or the notes of the step `step`, as they stand."""
    if name == "run":
        return _run(request, get_object_or_404(_mine(request), pk=turn_id))
    if name not in PARTS:
        raise Http404
    view = history.turn_view(_turn(request, turn_id))
    step = _number(request, "step")
    notes = [note for note in view.notes if note.step == step]
    context = {"view": view, "notes": notes, "number": step}
    return render(request, "chat/_part.html", context | {"template": f"chat/_{name}.html"})


def _run(request: PageRequest, turn: Turn) -> HttpResponse:
    """How far the turn is, for a page that asks while it works."""
    context = {"run": runs.of(turn, now=timezone.now()), "currency": settings.BILLING_CURRENCY}
    return render(request, "chat/_part.html", context | {"template": "chat/_run.html"})


@login_required
@require_GET
def folds(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """What folds of the steps so far, for a page that follows them."""
    return render(request, "chat/_folds.html", {"view": history.turn_view(_turn(request, turn_id))})


@login_required
@require_GET
def figures(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """The pictures that the call `call` left, as soon as it has."""
    view = history.turn_view(_turn(request, turn_id))
    context = {"view": view, "call_id": request.GET.get("call", "")}
    return render(request, "chat/_part.html", context | {"template": "chat/_figures.html"})


@login_required
@require_GET
def steps(request: PageRequest, turn_id: UUID, first: int, last: int) -> HttpResponse:
    """The steps from `first` to `last`, which the page has folded."""
    view = history.turn_view(_turn(request, turn_id, unfolded=range(first, last + 1)))
    shown = [step for step in view.steps if first <= step.number <= last]
    return render(request, "chat/_steps.html", {"view": view, "steps": shown})


@login_required
@require_GET
def result(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """The whole result of the call `call`."""
    found = get_object_or_404(_mine(request), pk=turn_id)
    rows = found.messages.filter(role="tool", parts__tool_call_id=request.GET.get("call", ""))
    texts = list(rows.values_list("parts__text", flat=True))
    if not texts:
        raise Http404
    return render(request, "chat/_result.html", {"text": texts[0]})


@login_required
@require_POST
def decide(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """What the person says to a waiting call."""
    found = _turn(request, turn_id)
    form = DecisionForm(request.POST)
    fault = _said(form, lambda: steering.decide_call(request.user, form.command(found)))
    if not request.htmx:
        return _home(found)
    wait = next((one for one in activity.waits(found) if one.call_id == form.data.get("call")), None)
    context = {"view": history.turn_view(_turn(request, turn_id)), "wait": wait, "fault": fault}
    context["answer"] = form.data.get("answer", "")
    return render(request, "chat/_wait.html", context, status=_status(fault))


@login_required
@require_POST
def plan(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """The person's plan in place of the turn's."""
    found = _turn(request, turn_id)
    form = PlanForm(request.POST)
    fault = _said(form, lambda: steering.edit_plan(request.user, form.command(found)))
    if not request.htmx:
        return _home(found)
    context = {"view": history.turn_view(_turn(request, turn_id)), "fault": fault, "is_open": True}
    context["text"] = form.data.get("plan", "") if fault else ""
    return render(request, "chat/_plan.html", context, status=_status(fault))


@login_required
@require_POST
def go_on(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """Continue a turn that a limit ended: the branch with the new turn at its end."""
    found = _turn(request, turn_id)
    form = ContinueForm(request.POST)
    fault = _said(form, lambda: dispatch.continue_turn(request.user, form.command(found)))
    if not request.htmx:
        return _home(found)
    if fault:
        context = {"view": history.turn_view(found), "fault": fault}
        response = render(request, "chat/_notice.html", context, status=_status(fault))
        response["HX-Retarget"], response["HX-Reswap"] = "closest .notice", "outerHTML"
        return response
    found.conversation.refresh_from_db()
    return render(request, "chat/_thread.html", {"window": windows.latest(found.conversation)})


@login_required
@require_POST
def discard(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """Remove the turn: what is left of its branch."""
    found = _turn(request, turn_id)
    conversation = found.conversation
    with suppress(conversations.NotDiscarded):  # it went on elsewhere: that is shown
        conversations.discard(found)
    conversation.refresh_from_db()
    if not request.htmx:
        return HttpResponseRedirect(reverse("conversation", args=[conversation.pk]))
    return render(request, "chat/_thread.html", {"window": windows.latest(conversation)})


@login_required
@require_GET
def audit_log(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """Everything that happened in the turn, a line for each, each with the hash of the line before it."""
    lines = (f"{line}\n" for line in audit.export(get_object_or_404(_mine(request), pk=turn_id)))
    return _download("".join(lines), name=f"turn-{turn_id}.jsonl", media_type="application/x-ndjson")


@login_required
@require_GET
def reasoning_graph(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """What the answer rests on: question, evidence, claims and checks, with citations and fingerprints."""
    whole = _mine(request).prefetch_related(*activity.prefetches())
    found = evidence.export_of(get_object_or_404(whole, pk=turn_id))
    text = orjson.dumps(found, default=str, option=orjson.OPT_INDENT_2)
    return _download(text, name=f"graph-{turn_id}.json", media_type="application/json")


@login_required
@require_GET
def artifact(request: PageRequest, artifact_id: UUID) -> HttpResponse:
    """A file that a call left: a picture to be shown, anything else to be kept."""
    mine = Artifact.objects.filter(turn__in=Turn.objects.for_user(request.user))
    found = get_object_or_404(mine, pk=artifact_id)
    file = files.file_of(found)
    name = "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in found.name)
    response = _download(file.content, name=name, media_type=file.media_type)
    if file.is_shown:
        del response["Content-Disposition"]
    return response


def _download(content: str | bytes, *, name: str, media_type: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(content, content_type=media_type, headers=headers)


def _said(form: django_forms.Form, say: Callable[[], object]) -> str:
    """Carry it out; what stands in the way, for the person, or nothing."""
    if not form.is_valid():
        return _("This could not be read. Reload the page and try again.")
    try:
        say()
    except Refusal as refusal:
        return refusal.message
    except ValueError:
        return _("A plan has between one and sixty lines, each of at most 500 characters.")
    return ""


def _status(fault: str) -> int:
    return HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK


def _home(turn: Turn) -> HttpResponse:
    return HttpResponseRedirect(reverse("conversation", args=[turn.conversation_id]) + f"#turn-{turn.pk}")


def _number(request: HttpRequest, name: str) -> int:
    text: Any = request.GET.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _turn(request: PageRequest, turn_id: UUID, *, unfolded: Container[int] = ()) -> Turn:
    """As far as pages show it: the texts of folded steps only where they are `unfolded`."""
    found = get_object_or_404(_mine(request).prefetch_related(*activity.besides_texts()), pk=turn_id)
    outlines.read([found], unfolded=unfolded)
    return found


def _mine(request: PageRequest) -> QuerySet[Turn]:
    return Turn.objects.for_user(request.user).select_related("conversation", "model")
