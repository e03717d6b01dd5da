"""Telling a Celery worker to look at a turn, or at a notice of its end. Knows no task, only the name of one:
what is to be done stands in the database."""

import logging
from uuid import UUID

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

TASK = "chat.tasks.drive_turn"
QUEUE = "turns"
NOTICE_TASK = "chat.tasks.tell_notice"
ASIDE_QUEUE = "default"


def ring(turn_id: UUID) -> None:
    """Have a Celery worker look at the turn. If the broker is away, the sweep rings again."""
    try:
        current_app.send_task(TASK, kwargs={"turn_id": str(turn_id)}, queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("turn %s: nobody to ring, left to the sweep", turn_id)


def ring_notice(notice_id: UUID) -> None:
    """Have a Celery worker tell it. If the broker is away, the sweep rings again."""
    try:
        current_app.send_task(
            NOTICE_TASK, kwargs={"notice_id": str(notice_id)}, queue=ASIDE_QUEUE, retry=False
        )
    except OperationalError:
        logger.warning("notice %s: nobody to ring, left to the sweep", notice_id)
