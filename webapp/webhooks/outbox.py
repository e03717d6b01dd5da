"""Telling endpoints what ended: an event is written down with what it tells of, in one transaction, and sent
until it was taken. Who is told knows an event by its id; it may come twice.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
import orjson
from celery import current_app
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from kombu.exceptions import OperationalError
from standardwebhooks import Webhook

from agents import url_guard
from webapp.webhooks import endpoints
from webapp.webhooks.models import Delivery, Endpoint

logger = logging.getLogger(__name__)

TASK = "webapp.webhooks.tasks.deliver"
QUEUE = "default"
WITHIN_S = 15.0
# After so many seconds it is tried again; then it is given up, three days after the event.
PAUSES_S = (5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
GONE = 410  # whoever answers so wants nothing more
KEPT_FOR = timedelta(days=30)


def announce(
    user_id: int, *, event_type: str, event_id: str, data: dict[str, Any], project_id: UUID | None = None
) -> None:
    """Tell those endpoints of the user that want to hear of it: of what a project's key did those of the
    project, too, and they of nothing else. Call it in the transaction in which it happened; again with the
    same id is harmless."""
    of_nobody_else = Q(api_key=None) | Q(api_key__project=None) | Q(api_key__project_id=project_id)
    listening = Endpoint.objects.filter(of_nobody_else, user_id=user_id, is_active=True)
    concerned = [endpoint for endpoint in listening if event_type in endpoint.event_types]
    if not concerned:
        return
    now = timezone.now()
    body = orjson.dumps(
        {
            "id": event_id,
            "object": "event",
            "type": event_type,
            "created_at": int(now.timestamp()),
            "data": data,
        }
    ).decode()
    deliveries = [
        Delivery(endpoint=endpoint, event_id=event_id, event_type=event_type, body=body, due_at=now)
        for endpoint in concerned
    ]
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)
    for delivery in deliveries:
        transaction.on_commit(partial(_ring, delivery.id))


def _ring(delivery_id: UUID) -> None:
    """If the broker is away, the sweep rings."""
    try:
        current_app.send_task(TASK, kwargs={"delivery_id": str(delivery_id)}, queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("delivery %s: nobody to ring, left to the sweep", delivery_id)


def ring_due() -> None:
    """Have what is due tried."""
    due = Delivery.objects.filter(state=Delivery.State.PENDING, due_at__lte=timezone.now())
    for delivery_id in list(due.values_list("id", flat=True)[:200]):
        _ring(delivery_id)


def tidy() -> None:
    """Forget what was told long ago."""
    ended = Delivery.objects.exclude(state=Delivery.State.PENDING)
    ended.filter(ended_at__lt=timezone.now() - KEPT_FOR).delete()


async def deliver(delivery_id: UUID) -> None:
    """Try it, if it is due: a try that nobody came back from is made again after its pause."""
    delivery = await _claim(delivery_id)
    if delivery is None:
        return
    endpoint = delivery.endpoint
    status_code, error = None, ""
    try:
        status_code = await post(endpoint, event_id=delivery.event_id, body=delivery.body)
        error = "" if 200 <= status_code < 300 else f"It answered {status_code}."
    except httpx2.HTTPError as fault:
        error = f"{type(fault).__name__}: {fault}"
    await _note(delivery, status_code=status_code, error=error)
    if status_code == GONE:
        await Endpoint.objects.filter(id=endpoint.id).aupdate(is_active=False)


async def post(endpoint: Endpoint, *, event_id: str, body: str) -> int:
    """Send it, signed: the status of the answer, whose text nobody reads. Raises httpx2.HTTPError, also where
    an endpoint answers byte by byte without an end."""
    now = datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "user-agent": "kimi-k2-thinking webhooks",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(endpoint.secret).sign(event_id, now, body),
    }
    client = url_guard.client(endpoints.rules(), timeout=WITHIN_S, follow_redirects=False)
    try:
        async with (
            asyncio.timeout(WITHIN_S),
            client,
            client.stream("POST", endpoint.url, content=body, headers=headers) as answer,
        ):
            return int(answer.status_code)
    except TimeoutError:
        raise httpx2.ReadTimeout(f"No whole answer came within {WITHIN_S:.0f} seconds.") from None


async def _claim(delivery_id: UUID) -> Delivery | None:
    now = timezone.now()
    pending = Delivery.objects.filter(id=delivery_id, state=Delivery.State.PENDING, due_at__lte=now)
    delivery = await pending.select_related("endpoint").afirst()
    if delivery is None:
        return None
    pause = timedelta(seconds=PAUSES_S[min(delivery.num_tries, len(PAUSES_S) - 1)])
    # Longer than a try takes, so that nobody begins another beside it.
    due_at = now + max(pause, timedelta(seconds=2 * WITHIN_S))
    taken = pending.filter(num_tries=delivery.num_tries)
    if not await taken.aupdate(num_tries=F("num_tries") + 1, due_at=due_at):
        return None
    delivery.num_tries += 1
    return delivery


async def _note(delivery: Delivery, *, status_code: int | None, error: str) -> None:
    now = timezone.now()
    changes: dict[str, Any] = {"status_code": status_code, "error": error[:300]}
    is_last = delivery.num_tries > len(PAUSES_S) or status_code == GONE
    if not error or is_last:
        state = Delivery.State.FAILED if error else Delivery.State.DELIVERED
        changes |= {"state": state, "due_at": None, "ended_at": now}
    else:
        changes["due_at"] = now + timedelta(seconds=PAUSES_S[delivery.num_tries - 1])
    await Delivery.objects.filter(id=delivery.id, state=Delivery.State.PENDING).aupdate(**changes)
