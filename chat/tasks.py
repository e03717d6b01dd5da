"""The Celery tasks: doorbells that carry a turn's id. What is to be done stands in the database, so a ring
may come twice."""

import logging
from collections.abc import Callable
from functools import partial
from uuid import UUID

import redis
from celery import shared_task
from celery.worker import state
from django.conf import settings
from django.db import close_old_connections
from redis.exceptions import RedisError

from chat import (
    attachments,
    code_tools,
    decisions,
    documents,
    doorbell,
    fairness,
    notices,
    own_loop,
    segment,
    shares,
    temporary,
    turns,
    workspaces,
)
from chat.events import LogUnreachable
from chat.models import Turn
from webapp.accounts import closing
from webapp.billing import holds

logger = logging.getLogger(__name__)

HEARTBEAT_KEY = "platform:heartbeat:celery"  # set by each sweep: beat and a Celery worker both live
HEARTBEAT_TTL_S = 5


ring = doorbell.ring


@shared_task(ignore_result=True, acks_late=False)  # `ring` names its queue
def drive_turn(*, turn_id: str) -> None:
    """Drive the turn, or one that deserves it more, segment by segment while no other waits for a worker;
    then ring for the next."""
    rung = UUID(turn_id)
    while True:
        chosen, goes_on = _drive_a_segment(rung)
        if not goes_on and chosen == rung:
            return
        # It gave way, and nobody else was rung for it; or its next segment is due.
        rung = chosen if goes_on else rung
        if _is_stopping() or fairness.is_wanted(but=rung):
            ring(rung)
            return


def _is_stopping() -> bool:
    """Whether this worker was told to end: what goes on does so elsewhere."""
    return state.should_stop not in (None, False) or state.should_terminate not in (None, False)


def _drive_a_segment(rung: UUID) -> tuple[UUID, bool]:
    """Which turn was driven, and whether it goes on."""
    close_old_connections()
    try:
        chosen = fairness.choose(rung)
        if chosen is None:
            return rung, False
        goes_on = own_loop.run(segment.drive(chosen))
        if not goes_on and (held_back := fairness.held_back()) is not None:
            ring(held_back)
        return chosen, goes_on
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # whoever rings names its queue
def read_attachment(*, attachment_id: str) -> None:
    """Read an uploaded file, if nobody does."""
    close_old_connections()
    try:
        attachments.read(UUID(attachment_id), code_tools.extractor())
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # whoever rings names its queue
def tell_notice(*, notice_id: str) -> None:
    """Tell a person that a run is over, if that is still to be told."""
    close_old_connections()
    try:
        notices.tell(UUID(notice_id))
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # the schedule names its queue
def sweep() -> None:
    """Find what dead workers left: turns to go on with, ends to announce, money to give back."""
    close_old_connections()
    try:
        if sum([_is_done(part) for part in SWEPT]):
            _note_life()
    finally:
        close_old_connections()


@shared_task(ignore_result=True, acks_late=False)  # the schedule names its queue
def tidy() -> None:
    """Clear away the files of chats that are gone."""
    close_old_connections()
    try:
        for part in TIDIED:
            _is_done(part)
    finally:
        close_old_connections()


def _ring_due() -> None:
    for turn_id in turns.take_due():
        ring(turn_id)


def _announce_all() -> None:
    for turn in turns.take_unannounced():
        _is_done(partial(_announce, turn))


# Turns first: money and decisions can wait for the next second. chat.apps adds what stands above this module.
SWEPT: list[Callable[[], object]] = [
    _ring_due,
    _announce_all,
    decisions.expire_due,
    holds.release_expired,
    temporary.clear_ended,
    notices.ring_due,
    attachments.ring_due,
    attachments.clean_up,
]

TIDIED: tuple[Callable[[], object], ...] = (
    workspaces.tidy,
    documents.tidy,
    attachments.tidy,
    shares.clear_ended,
    closing.clear_again,
)


def _is_done(part: Callable[[], object]) -> bool:
    """Each for itself: a fault that one meets in its rows must not keep the others from theirs, second after
    second."""
    try:
        part()
    except Exception:
        logger.exception("%r failed", part)
        close_old_connections()
        return False
    return True


def _note_life() -> None:
    """Tells /readyz, for some seconds, that beat rings and a Celery worker answers."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set(HEARTBEAT_KEY, 1, ex=HEARTBEAT_TTL_S)


def _announce(turn: Turn) -> None:
    try:
        own_loop.run(segment.announce(turn))
    except (RedisError, LogUnreachable):
        logger.warning("turn %s: its end is not announced yet", turn.id)
