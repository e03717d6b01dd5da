"""What the model may know of a person across chats: each a line that they can read, change and delete."""

from django.db import IntegrityError, transaction

from chat.models import Memory, Turn
from webapp.accounts.models import User

MOST = 100


class TooManyMemories(Exception):
    """The person has as many as anybody may have."""


def write(user: User, text: str, *, turn: Turn | None = None, key: str = "") -> Memory:
    """Once per key, however often it is called. One that says the same as another is that other. Raises
    TooManyMemories."""
    line = " ".join(text.split())[: Memory.TEXT_CHARS]
    mine = Memory.objects.for_user(user)
    if key and (found := mine.filter(key=key).first()) is not None:
        return found
    if (found := mine.filter(text__iexact=line).first()) is not None:
        return found
    if mine.count() >= MOST:
        raise TooManyMemories
    try:
        with transaction.atomic():
            return Memory.objects.create(user=user, text=line, turn=turn, key=key)
    except IntegrityError:
        return mine.get(key=key)


def change(memory: Memory, *, text: str) -> None:
    memory.text = " ".join(text.split())[: Memory.TEXT_CHARS]
    memory.save(update_fields=["text"])


def forget(user: User) -> None:
    Memory.objects.for_user(user).delete()
