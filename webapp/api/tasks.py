"""The Celery tasks of the API: doorbells that carry an id, and the sweep."""

from celery import shared_task
from django.db import close_old_connections

from chat import own_loop
from webapp.api import deliveries, idempotency
from webapp.api.batches import running
from webapp.api.responses import answering, background, turns


@shared_task(ignore_result=True, acks_late=False)  # `background.ring` names its queue
def answer(*, response_id: str) -> None:
    """Make this answer, if nobody does."""
    close_old_connections()
    try:
        own_loop.run(answering.answer(response_id))
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # the schedule names its queue
def sweep() -> None:
    """Find what dead workers left."""
    close_old_connections()
    try:
        background.ring_due()
        turns.conclude_due()
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # `running.ring` names its queue
def drive_batch(*, batch_id: str) -> None:
    """Go on with this batch, if nobody does."""
    close_old_connections()
    try:
        own_loop.run(running.drive(batch_id))
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # the schedule names its queue
def settle_abandoned() -> None:
    """Bill the streams whose web process died, and ring for the batches that nobody drives."""
    close_old_connections()
    try:
        deliveries.settle_abandoned()
        running.ring_due()
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # the schedule names its queue
def tidy() -> None:
    """Clear away answers that nobody may ask for again."""
    close_old_connections()
    try:
        idempotency.tidy()
    finally:
        close_old_connections()
