"""Single calls of a turn: one of them in the panel, with all that it was given and brought, and those of one
kind as rows."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from chat import activity, history, runs
from chat.history import TurnView
from chat.models import ToolRun, Turn
from chat.step_views import StepView, ToolCallView
from webapp.accounts.models import User
from webapp.billing import pricing

KINDS = {"search", "browse", "python", "tool", "error"}


class PageRequest(HttpRequest):
    """A request of a signed-in person."""

    user: User


@dataclass(frozen=True, kw_only=True)
class Place:
    """A call in its turn, and the ones beside it."""

    step: StepView
    call: ToolCallView
    before: str
    after: str


@login_required
@require_GET
def call(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """The call `call` in the panel."""
    view = _view(request, turn_id)
    place = _place(view, request.GET.get("call", ""))
    run = ToolRun.objects.filter(turn=turn_id, call_id=place.call.id).order_by("edition").last()
    context = {
        "view": view,
        "place": place,
        "step": place.step,
        "call": place.call,
        "cost": pricing.to_decimal(run.cost_nano) if run and run.cost_nano else None,
        "currency": settings.BILLING_CURRENCY,
    }
    return render(request, "chat/_call_panel.html", context)


@login_required
@require_GET
def rows(request: PageRequest, turn_id: UUID) -> HttpResponse:
    """The calls of the steps of one kind (chat.runs.kinds), or all that failed."""
    kind = request.GET.get("kind", "")
    if kind not in KINDS:
        raise Http404
    view = _view(request, turn_id)
    of_step = runs.kinds(view.turn)
    calls = [
        (step, call)
        for step in view.steps
        if of_step.get(step.number) == kind
        for call in step.tool_calls
        if (call.is_error if kind == "error" else runs.kind_of(call.name) == kind)
    ]
    return render(request, "chat/_filtered.html", {"view": view, "calls": calls, "kind": kind})


def _place(view: TurnView, call_id: str) -> Place:
    calls = [(step, call) for step in view.steps for call in step.tool_calls]
    at = next((index for index, (_, call) in enumerate(calls) if call.id == call_id), None)
    if at is None:
        raise Http404
    step, found = calls[at]
    return Place(
        step=step,
        call=found,
        before=calls[at - 1][1].id if at else "",
        after=calls[at + 1][1].id if at + 1 < len(calls) else "",
    )


def _view(request: PageRequest, turn_id: UUID) -> TurnView:
    mine = Turn.objects.for_user(request.user).select_related("conversation", "model")
    return history.turn_view(get_object_or_404(mine.prefetch_related(*activity.prefetches()), pk=turn_id))
