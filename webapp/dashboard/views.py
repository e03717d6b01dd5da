"""The administration's figures: usage, what turns cost, people, workers, proofs and alarms. For staff who may
see usage records; every table is there as CSV, too."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlencode

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from chat.models import Turn
from inference.request_queue import census
from webapp.billing import figures, pricing, repricing
from webapp.billing.models import Alarm, Budget, Proof, UsageRecord
from webapp.billing.pricing import Rates
from webapp.dashboard import forms, usage
from webapp.dashboard.tables import Table
from webapp.health import CHECKS

ANSWER_WITHIN_S = 1.0
TURNS_SHOWN = 100


def _require_staff(request: HttpRequest) -> None:
    if not (request.user.is_staff and request.user.has_perm("billing.view_usagerecord")):
        raise PermissionDenied


@login_required
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """Usage of everybody, or of those that the address narrows it to: `user`, `model`."""
    _require_staff(request)
    choice, span = usage.span_of(request.GET.get("span", ""), today=timezone.localdate())
    where, narrowed = _narrowing(request)
    narrowing = "".join(f"&{urlencode({name: value})}" for name, value in narrowed.items())
    if request.GET.get("format") == "csv":
        group = request.GET.get("table", "day")
        if group not in ("day", "model", "user", "key", "hour", "source", "project"):
            raise Http404
        return usage.table(span, cast(figures.Grouping, group), where=where).to_csv()
    context = usage.page(span, where=where)
    context |= {"choice": choice, "spans": usage.SPANS, "tab": "usage"}
    context |= {"narrowed": " · ".join(narrowed.values()), "narrowing": narrowing}
    context |= {"alarms": Alarm.objects.filter(seen_at=None)[:5], "proof": Proof.objects.first()}
    return render(request, "dashboard/usage.html", context)


@login_required
@require_GET
def turns(request: HttpRequest) -> HttpResponse:
    """The dearest or the newest turns and what they cost."""
    _require_staff(request)
    records = UsageRecord.objects.filter(source=UsageRecord.Source.CHAT).select_related("user", "model")
    is_dearest = request.GET.get("order") == "cost"
    if is_dearest:
        since = timezone.now() - timedelta(days=30)
        # First which, by an index alone: the rows of a month need not be read.
        dearest = records.filter(created_at__gte=since).order_by("-cost_nano").values_list("pk", flat=True)
        records = records.filter(pk__in=list(dearest[:TURNS_SHOWN])).order_by("-cost_nano")
    found = list(records[:TURNS_SHOWN])
    if request.GET.get("format") == "csv":
        rows = [_turn_row(record) for record in found]
        return Table(name="turns", columns=TURN_COLUMNS, rows=rows).to_csv()
    context = {"records": found, "is_dearest": is_dearest, "tab": "turns", "states": _states_of_turns()}
    return render(request, "dashboard/turns.html", context)


@login_required
@require_GET
def workers(request: HttpRequest) -> HttpResponse:
    """Who computes, what waits, and whether every part answers."""
    _require_staff(request)
    context: dict[str, Any] = {"tab": "workers", "parts": {name: check() for name, check in CHECKS.items()}}
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=ANSWER_WITHIN_S, socket_connect_timeout=ANSWER_WITHIN_S
        ) as client:
            context["workers"] = census.workers(client)
            context["depths"] = census.depths(client)
            context["celery"] = {name: client.llen(name) for name in ("turns", "default")}
    except redis.RedisError:
        context["redis_is_down"] = True
    return render(request, "dashboard/workers.html", context)


@login_required
@require_GET
def money(request: HttpRequest) -> HttpResponse:
    """Proofs of the sums, alarms, and how far budgets are spent."""
    _require_staff(request)
    context = {
        "tab": "money",
        "proofs": Proof.objects.all()[:14],
        "alarms": Alarm.objects.all()[:50],
        "budgets": Budget.objects.all()[:100],
    }
    return render(request, "dashboard/money.html", context)


@login_required
@require_POST
def see_alarm(request: HttpRequest, alarm_id: int) -> HttpResponse:
    _require_staff(request)
    if not request.user.has_perm("billing.change_alarm"):
        raise PermissionDenied
    alarm = get_object_or_404(Alarm, pk=alarm_id)
    alarm.seen_at = timezone.now()
    alarm.save(update_fields=["seen_at"])
    return redirect("dashboard_money")


@login_required
@require_http_methods(["GET", "POST"])
def dry_run(request: HttpRequest) -> HttpResponse:
    """What past usage would have come to at other prices."""
    _require_staff(request)
    form = forms.DryRunForm(request.POST or None)
    context: dict[str, Any] = {"form": form, "tab": "prices"}
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        rates = Rates.per_million(uncached=said["input"], cached=said["cached_input"], output=said["output"])
        _choice, span = usage.span_of(said["span"], today=timezone.localdate())
        context["run"] = repricing.dry_run(said["model"], rates, currency=said["currency"], span=span)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "dashboard/dry_run.html", context, status=status)


NARROWED_BY = {"user": "user__username", "model": "model__name"}


def _narrowing(request: HttpRequest) -> tuple[Q, dict[str, str]]:
    """And what the address says, for the page's links to say again."""
    said = {name: value for name in NARROWED_BY if (value := request.GET.get(name, ""))}
    return Q(**{NARROWED_BY[name]: value for name, value in said.items()}), said


TURN_COLUMNS = (
    "at",
    "turn",
    "user",
    "model",
    "steps",
    "tool_calls",
    "tokens",
    "finish_reason",
    "cost",
    "currency",
)


def _turn_row(record: UsageRecord) -> tuple[object, ...]:
    tokens = record.input_uncached_tokens + record.input_cached_tokens + record.output_tokens
    return (
        *(record.created_at.isoformat(), record.reference, record.user.username, record.model.name),
        *(record.num_steps, record.num_tool_calls, tokens, record.finish_reason),
        *(pricing.to_decimal(record.cost_nano), record.currency),
    )


def _states_of_turns() -> list[tuple[str, int]]:
    open_states = [status for status in Turn.Status if status != Turn.Status.FINISHED]
    return [(str(status.label), Turn.objects.filter(status=status).count()) for status in open_states]
