"""Changes to a conversation as a whole: its name, its branch on show, its end."""

from functools import partial

from django.db import transaction
from django.db.models import F

from chat import branches, documents, search_index, turns, workspaces
from chat.models import Conversation, Preset, Turn


def rename(conversation: Conversation, *, title: str) -> None:
    conversation.title = " ".join(title.split())[: Conversation._meta.get_field("title").max_length]
    with transaction.atomic():
        conversation.save(update_fields=["title"])
        search_index.keep_title(conversation)


def show_branch(conversation: Conversation, *, turn: Turn) -> None:
    """Put the newest branch through `turn` on show."""
    conversation.current_turn = branches.leaf(conversation, turn)
    conversation.save(update_fields=["current_turn"])


class NotDiscarded(Exception):
    """The turn is under way, or something hangs on it."""


def discard(turn: Turn) -> None:
    """Remove a finished turn that nothing hangs on; the one before it is on show. What it used stays on the
    bill. Raises NotDiscarded."""
    with transaction.atomic():
        conversation = Conversation.objects.select_for_update().get(pk=turn.conversation_id)
        gone = conversation.turns.filter(
            pk=turn.pk, status=Turn.Status.FINISHED, spawned_by=None, children=None
        )
        if not gone.exists():
            raise NotDiscarded
        if conversation.current_turn_id == turn.pk:
            conversation.current_turn = turn.parent
            conversation.save(update_fields=["current_turn"])
        turn.delete()


def delete(conversation: Conversation) -> None:
    """Remove it with all its turns and messages. A turn under way is stopped first; what it used stays on the
    bill. Again is harmless."""
    while not _is_deleted(conversation):
        pass


def _is_deleted(conversation: Conversation) -> bool:
    """False: a message came in meanwhile, and its turn is to be stopped first."""
    with transaction.atomic():
        stop_turns(conversation)
        # After its turns, as their workers lock them. From here on no message comes in.
        if Conversation.objects.select_for_update().filter(pk=conversation.pk).first() is None:
            return True
        if conversation.turns.exclude(status=Turn.Status.FINISHED).exists():
            return False
        transaction.on_commit(partial(workspaces.forget, [conversation.id]))
        transaction.on_commit(partial(documents.forget, conversation.id))
        conversation.delete()
        return True


def stop_turns(conversation: Conversation) -> None:
    """End what is under way, at once. Call it inside a transaction."""
    # All are locked before any is ended, agents first, as their workers lock them.
    still_open = conversation.turns.select_for_update().exclude(status=Turn.Status.FINISHED)
    for turn in list(still_open.order_by(F("spawned_by").asc(nulls_last=True), "created_at")):
        turns.abandon(turn)


def choose_preset(conversation: Conversation, preset: Preset | None) -> None:
    """For the turns that begin from now on; what was said stays as it was said."""
    conversation.preset = preset
    conversation.save(update_fields=["preset"])
