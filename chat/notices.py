"""Telling a person that a long run is over: by email, and to the webhooks that they have set up. The page
itself tells it while it is open.

What is to be told is written down in the transaction that ends the turn, told later by whoever is rung, and
not told to somebody who has the chat in view. A death in between means a second try: an email keeps its
Message-ID, a webhook's event its id.
"""

import logging
from datetime import timedelta
from functools import partial
from smtplib import SMTPException
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from chat import doorbell, presence
from chat.models import Notice, Preferences, Turn
from webapp.database_clock import FromNow
from webapp.webhooks import outbox
from webapp.webhooks.models import Endpoint

logger = logging.getLogger(__name__)

EVENT = "turn.finished"
MOST_TRIES = 6
PAUSE_S = 60
Channel, State = Notice.Channel, Notice.State


def plan(turn: Turn) -> None:
    """Write down who is to be told of the end of this turn. Call it in the transaction that ends it."""
    if turn.spawned_by_id is not None or turn.conversation.is_temporary:
        return
    user_id = turn.conversation.user_id
    own = Preferences.objects.filter(user_id=user_id).first() or Preferences(user_id=user_id)
    if timezone.now() - turn.created_at < timedelta(seconds=own.notifies_after_s):
        return
    channels = [Channel.EMAIL] if own.notifies_email else []
    listening = Endpoint.objects.filter(user_id=user_id, is_active=True)
    if any(EVENT in endpoint.event_types for endpoint in listening):
        channels.append(Channel.WEBHOOK)
    notices = [Notice(turn=turn, channel=channel, due_at=FromNow()) for channel in channels]
    Notice.objects.bulk_create(notices, ignore_conflicts=True)
    for notice in notices:
        transaction.on_commit(partial(doorbell.ring_notice, notice.id))


def ring_due() -> None:
    for notice_id in list(Notice.objects.filter(due_at__lte=FromNow()).values_list("id", flat=True)[:100]):
        doorbell.ring_notice(notice_id)


def tell(notice_id: UUID) -> None:
    """Tell it, if it is due; one caller at a time."""
    due = Notice.objects.filter(id=notice_id, due_at__lte=FromNow())
    if not due.update(due_at=FromNow(PAUSE_S), tries=F("tries") + 1):
        return
    notice = Notice.objects.select_related("turn__conversation__user", "turn__model").get(id=notice_id)
    if presence.is_watched(notice.turn.conversation_id, url=settings.REDIS_URL):
        _done(notice, State.SEEN)
    elif notice.channel == Channel.WEBHOOK:
        with transaction.atomic():
            _announce(notice)
            _done(notice, State.SENT)
    else:
        _mail(notice)


def _mail(notice: Notice) -> None:
    try:
        _message(notice).send()
    except (SMTPException, OSError):
        logger.warning("notice %s: its mail could not be sent", notice.id, exc_info=True)
        if notice.tries >= MOST_TRIES:
            _done(notice, State.FAILED)
    else:
        _done(notice, State.SENT)


def _done(notice: Notice, state: Notice.State) -> None:
    Notice.objects.filter(id=notice.id).update(state=state, due_at=None)


def words(turn: Turn) -> tuple[str, str]:
    """The title and the text of a notice, in the language that is on. No word of the answer: a notice lies
    about on screens and in mailboxes."""
    title = turn.conversation.title or _("Temporary chat")
    if turn.limit:
        return title, _("It has reached a limit. You can let it go on, or have it answer with what it has.")
    if turn.finish_reason in ("error", "cancelled"):
        return title, _("It has broken off. Open the chat to see why.")
    return title, _("The answer is there.")


def _message(notice: Notice) -> EmailMessage:
    turn = notice.turn
    user = turn.conversation.user
    with translation.override(user.language or settings.LANGUAGE_CODE):
        title, text = words(turn)
        why = _("You asked to be told when a long run ends. Change it here: %(url)s") % {
            "url": settings.PUBLIC_URL + reverse("notifications")
        }
        # A title may hold no line break: it would begin another header.
        subject = " ".join(_("Done: %(title)s").split()) % {"title": " ".join(title.split())}
        return EmailMessage(
            subject=subject,
            body=f"{text}\n\n{settings.PUBLIC_URL}{_address(turn)}\n\n{why}\n",
            to=[user.email],
            headers={"Message-ID": f"<{notice.id}@kimi-k2-thinking>", "Auto-Submitted": "auto-generated"},
        )


def _announce(notice: Notice) -> None:
    turn = notice.turn
    outbox.announce(
        turn.conversation.user_id,
        event_type=EVENT,
        event_id=f"evt_{notice.id.hex}",
        data={
            "turn": str(turn.id),
            "conversation": str(turn.conversation_id),
            "url": settings.PUBLIC_URL + _address(turn),
            "finish_reason": turn.finish_reason,
            "limit": turn.limit,
            "model": turn.model.name,
        },
        project_id=turn.hold.project_id if turn.hold else None,
    )


def _address(turn: Turn) -> str:
    return f"{reverse('conversation', args=[turn.conversation_id])}#turn-{turn.id}"
