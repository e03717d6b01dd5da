"""Messages that a person writes while a turn is under way: said when it has ended, or to it at once.

Raises `Refusal`; after it nothing has changed. A message is never lost: it is taken off the queue in the
transaction that starts its turn, and one that was said to a turn which ended unread of it is queued again.
"""

import logging
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import translation
from django.utils.translation import gettext as _

from agents.transcript import Note, NoteKind
from chat import decisions, dispatch, queue_rows, turns
from chat.frames import TurnSend
from chat.models import Conversation, Message, QueuedMessage, Turn
from chat.refusals import Refusal
from webapp.accounts.models import User

logger = logging.getLogger(__name__)

MOST = 20  # of one conversation
TOLD = "The person writes while you work; take it into account:\n\n"


def add(user: User, command: TurnSend, *, steers: bool = False) -> None:
    """Put it at the end of the queue of its conversation, or say it to the turn under way. A resend is
    harmless."""
    text = dispatch.text_of(command.text)
    conversation = dispatch.conversation_of(user, command.conversation)
    if conversation is None:
        raise dispatch.unknown_conversation()
    message_id = dispatch.client_id_of(command.client_id)
    if Turn.objects.for_user(user).filter(client_id=message_id).exists():
        return  # it has become a turn
    wishes = {
        name: value
        for name, value in msgspec.to_builtins(command).items()
        if name not in ("op", "text", "client_id", "conversation")
    }
    with transaction.atomic():
        # Locked, so that two pages do not fill the queue beyond its end.
        if Conversation.objects.select_for_update().filter(pk=conversation.pk).first() is None:
            raise dispatch.unknown_conversation()  # deleted a moment ago
        if QueuedMessage.objects.filter(conversation=conversation).count() >= MOST:
            raise Refusal("queue_full", _("So many messages wait already: remove one of them first."))
        row, _is_new = QueuedMessage.objects.get_or_create(
            id=message_id, defaults={"conversation": conversation, "text": text, "wishes": wishes}
        )
        if row.conversation_id != conversation.pk:
            raise dispatch.unknown_conversation()
        if steers:
            _steer(row)


def edit(row: QueuedMessage, text: str) -> None:
    """Nothing comes of it for a message that has been said."""
    text = dispatch.text_of(text)
    QueuedMessage.objects.filter(pk=row.pk, steers=None).update(text=text, fault="")


def remove(row: QueuedMessage) -> None:
    QueuedMessage.objects.filter(pk=row.pk, steers=None).delete()


def steer(row: QueuedMessage) -> None:
    """Say it to the turn under way, which reads it before its next step. Without one it stays queued."""
    with transaction.atomic():
        _steer(row)


def _steer(row: QueuedMessage) -> None:
    turn_id = queue_rows.under_way(row.conversation)
    if turn_id is None or decisions.locked(turn_id).status == Turn.Status.FINISHED:
        return
    if not QueuedMessage.objects.filter(pk=row.pk, steers=None).update(steers=turn_id, fault=""):
        return  # it was said before, or is gone
    note = Note(step=0, kind=NoteKind.STEER, text=TOLD + row.text, data={"said": row.text})
    turns.add_note(turn_id, note, note_id=row.pk)


def send(row: QueuedMessage) -> None:
    """Start its turn now; where one is under way it stays queued."""
    user = row.conversation.user
    with translation.override(user.language or settings.LANGUAGE_CODE):
        try:
            _send(row, user)
        except Refusal as refusal:
            if refusal.code != "turn_running":
                QueuedMessage.objects.filter(pk=row.pk).update(fault=refusal.message[:500])


def _send(row: QueuedMessage, user: User) -> None:
    with transaction.atomic():
        kept = QueuedMessage.objects.select_for_update().filter(pk=row.pk, steers=None).first()
        if kept is None:
            return
        said = {"text": kept.text, "client_id": str(kept.pk), "conversation": str(kept.conversation_id)}
        dispatch.submit_turn(user, msgspec.convert({"op": "turn.send", **kept.wishes, **said}, TurnSend))
        kept.delete()


# ---- when a turn has ended


def go_on() -> None:
    """Start the next message of each conversation whose turn has come to its end. For the sweep."""
    open_turns = Turn.objects.filter(conversation=OuterRef("conversation"), spawned_by=None)
    is_open = Exists(open_turns.exclude(status=Turn.Status.FINISHED))
    said = QueuedMessage.objects.filter(~is_open, steers__isnull=False)
    for row in said.select_related("steers")[:100]:
        _take_back(row)
    ready = Q(conversation__current_turn__finish_reason="stop", steers=None, fault="")
    ready &= Q(conversation__user__is_active=True)
    rows = QueuedMessage.objects.filter(~is_open, ready).select_related("conversation__user")
    first: dict[UUID, QueuedMessage] = {}
    for row in rows[:500]:
        first.setdefault(row.conversation_id, row)
    for row in first.values():
        try:
            send(row)
        except Exception:  # of one conversation: the others go on
            logger.exception("queued message %s could not be sent", row.pk)


def _take_back(row: QueuedMessage) -> None:
    """Nobody read it: what is read is off the queue (`step_rows.save_reply`)."""
    with transaction.atomic():
        Message.objects.filter(pk=row.pk, turn=row.steers).delete()
        QueuedMessage.objects.filter(pk=row.pk).update(steers=None)
