"""The Celery tasks of webhooks: a delivery's id, a sweep, and clearing up."""

from uuid import UUID

from asgiref.sync import async_to_sync
from celery import shared_task
from django.db import close_old_connections

from webapp.webhooks import outbox


@shared_task(ignore_result=True, acks_late=False)  # whoever rings names its queue
def deliver(*, delivery_id: str) -> None:
    """Send the event, if it is still to be sent."""
    close_old_connections()
    try:
        async_to_sync(outbox.deliver)(UUID(delivery_id))
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # the schedule names its queue
def sweep() -> None:
    """Ring for what is due to be sent again."""
    close_old_connections()
    try:
        outbox.ring_due()
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # the schedule names its queue
def tidy() -> None:
    close_old_connections()
    try:
        outbox.tidy()
    finally:
        close_old_connections()
