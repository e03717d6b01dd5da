"""Answers in the background: a row says what is to be done, a Celery worker that holds its lease does it. A
crash between any two lines loses no answer and bills none twice: the call is made again, and what was told of
it before is closed as incomplete.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from kombu.exceptions import OperationalError

from chat.doorbell import QUEUE
from inference.schema import ChatRequest, Usage
from webapp.api import admission
from webapp.api.models import Item, Response
from webapp.api.responses import log, store
from webapp.api.responses.reply import usage_shape
from webapp.api.responses.request import Question
from webapp.billing import holds
from webapp.billing.models import UsageRecord
from webapp.database_clock import FromNow
from webapp.webhooks import outbox

logger = logging.getLogger(__name__)

TASK = "webapp.api.tasks.answer"
RING_AGAIN_S = 3.0
HOLD_LIVES = timedelta(days=2)  # longer than anybody waits for a worker
ERROR_CHARS = 500


class ResponseLost(Exception):
    """Another worker has it, or it has ended."""


@dataclass(frozen=True, kw_only=True)
class Claimed:
    response: Response
    request: ChatRequest
    fence: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an answer ended. `usage` is None where nothing is billed."""

    status: str
    finish_reason: str
    usage: Usage | None = None
    is_estimated: bool = False
    incomplete_reason: str = ""
    error: dict[str, Any] | None = None


# ---- asking


def start(question: Question, *, id: str, address: str) -> Response:
    """A queued answer with its money held. Raises ApiError, having changed nothing."""
    admitted = admission.hold(admission.look_as(question.key, question, id=id, address=address))
    try:
        with transaction.atomic():
            holds.keep(admitted.hold_id, ttl=HOLD_LIVES)
            response = store.open_response(
                question.asked(admitted.model),
                id,
                hold_id=admitted.hold_id,
                request=msgspec.json.encode(admitted.request).decode(),
                wake_at=FromNow(RING_AGAIN_S),
            )
            transaction.on_commit(partial(ring, id))
    except BaseException:
        admission.close(admitted, usage=None, finish_reason="", is_estimated=False)
        raise
    admission.free(admitted)
    return response


def ring(response_id: str) -> None:
    """Have a Celery worker look at it. If the broker is away, the sweep rings again."""
    try:
        current_app.send_task(TASK, kwargs={"response_id": response_id}, queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("response %s: nobody to ring, left to the sweep", response_id)


def ring_due() -> None:
    """Ring for the answers that nobody makes."""
    is_left = Q(lease_until=None) | Q(lease_until__lte=FromNow())
    due = _open().filter(is_left, Q(wake_at=None) | Q(wake_at__lte=FromNow()))
    for response_id in list(due.values_list("id", flat=True)[:500]):
        if due.filter(id=response_id).update(wake_at=FromNow(RING_AGAIN_S)):
            ring(response_id)


def _open() -> Any:
    """Those that a worker answers with a call on a backend."""
    return Response.objects.filter(status__in=Response.OPEN, turn=None).exclude(request="")


# ---- holding


def claim(response_id: str) -> Claimed | None:
    row = _open().select_related("model", "user").filter(id=response_id).first()
    if row is None:
        return None
    free = _open().filter(
        Q(lease_until=None) | Q(lease_until__lte=FromNow()), id=response_id, fence=row.fence
    )
    was_lost = row.status == Response.Status.IN_PROGRESS
    taken = free.update(
        fence=row.fence + 1,
        lease_until=FromNow(settings.TURN_LEASE_S),
        status=Response.Status.IN_PROGRESS,
        wake_at=None,
        num_lost=row.num_lost + was_lost,
    )
    if not taken:
        return None
    row.fence, row.status, row.num_lost = row.fence + 1, Response.Status.IN_PROGRESS, row.num_lost + was_lost
    request = msgspec.json.decode(row.request, type=ChatRequest)
    return Claimed(response=row, request=request, fence=row.fence)


def renew(claimed: Claimed, *, last_number: int) -> bool:
    """Keep the lease; whether somebody wants it to end. Raises ResponseLost."""
    row = _held(claimed)
    if not row.update(lease_until=FromNow(settings.TURN_LEASE_S), last_number=last_number):
        raise ResponseLost(claimed.response.id)
    return bool(row.filter(cancel_requested_at__isnull=False).exists())


def postpone(claimed: Claimed, *, seconds: float) -> None:
    """Leave it for a while: its backend is away or has too much to do. Raises ResponseLost."""
    postponed = _held(claimed).update(
        status=Response.Status.QUEUED,
        lease_until=None,
        wake_at=FromNow(seconds),
        num_lost=F("num_lost") + 1,
    )
    if not postponed:
        raise ResponseLost(claimed.response.id)


def _held(claimed: Claimed) -> Any:
    return Response.objects.filter(
        id=claimed.response.id, fence=claimed.fence, status=Response.Status.IN_PROGRESS
    )


# ---- ending


def finish(claimed: Claimed, outcome: Outcome, *, output: list[dict[str, Any]], last_number: int) -> Response:
    """End it: bill, keep, announce, all at once. Raises ResponseLost."""
    with transaction.atomic():
        if not _held(claimed).update(**columns(outcome, last_number=last_number)):
            raise ResponseLost(claimed.response.id)
        response = Response.objects.select_related("model").get(id=claimed.response.id)
        _settle(response, outcome)
        conclude(response, output)
    return response


def conclude(response: Response, output: list[dict[str, Any]]) -> None:
    """What follows from an answer's end. Call it in the transaction that ended it."""
    store.add_items(response, output, side=Item.Side.OUTPUT)
    asked = Item.objects.filter(response=response, side=Item.Side.INPUT).order_by("position")
    store.go_on(response, [*asked.values_list("content", flat=True), *output])
    if response.is_background:
        event_id = f"evt_{response.id.partition('_')[2]}"
        kind = f"response.{response.status}"
        outbox.announce(
            response.user_id,
            event_type=kind,
            event_id=event_id,
            data={"id": response.id},
            project_id=response.api_key.project_id if response.api_key else None,
        )


def columns(outcome: Outcome, *, last_number: int) -> dict[str, Any]:
    """What a row says of its end."""
    error = outcome.error or {}
    return {
        "status": outcome.status,
        "lease_until": None,
        "wake_at": None,
        "request": "",
        "last_number": last_number,
        "error_code": error.get("code", ""),
        "error": error.get("message", "")[:ERROR_CHARS],
        "incomplete_reason": outcome.incomplete_reason,
        "usage": usage_shape(outcome.usage) if outcome.usage else None,
        "finished_at": datetime.now(UTC),
    }


def cancel(response: Response) -> None:
    """Have it end: at once where no worker has taken it up, else when its worker hears of it. Again, and when
    it has ended, is harmless."""
    if not _cancel_unclaimed(response):
        asked = Response.objects.filter(id=response.id, status__in=Response.OPEN, cancel_requested_at=None)
        asked.update(cancel_requested_at=FromNow())


def _cancel_unclaimed(response: Response) -> bool:
    """False when a worker has it."""
    with transaction.atomic():
        outcome = Outcome(status=Response.Status.CANCELLED, finish_reason="cancelled")
        waiting = _open().filter(id=response.id, status=Response.Status.QUEUED)
        number = max(response.last_number, log.FIRST_NUMBER)
        if not waiting.update(**columns(outcome, last_number=number), fence=F("fence") + 1):
            return False
        response.refresh_from_db()
        _settle(response, outcome)
        conclude(response, [])
    return True


def _settle(response: Response, outcome: Outcome) -> None:
    if response.hold_id is None:
        return
    if outcome.usage is None:
        holds.release(response.hold_id)
        return
    holds.settle(
        response.hold_id,
        usage=outcome.usage,
        source=UsageRecord.Source.API,
        reference=response.id,
        finish_reason=outcome.finish_reason,
        is_estimated=outcome.is_estimated,
    )
