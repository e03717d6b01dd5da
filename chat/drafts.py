"""What is typed and not sent, kept for whichever device goes on with it.

Nothing typed is ever written over: a page says which version its text was made from, and where another page
has written since, both texts are kept, one below the other.
"""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from chat.models import Conversation, Draft, Turn
from webapp.accounts.models import User

MAX_FILES = 50


def read(user: User, conversation: Conversation | None) -> Draft:
    """The draft; one of version 0, not stored, where there never was any."""
    found = Draft.objects.filter(user=user, conversation=conversation).first()
    return found or Draft(user=user, conversation=conversation)


def write(
    user: User, conversation: Conversation | None, *, text: str, files: Sequence[str], base: int
) -> Draft:
    """The draft with this text, which was made from version `base`."""
    with transaction.atomic():
        Draft.objects.get_or_create(user=user, conversation=conversation)
        draft = Draft.objects.select_for_update().get(user=user, conversation=conversation)
        if (draft.text, draft.files) == (text, list(files)):
            return draft
        draft.text = text if draft.version == base else joined(draft.text, text)
        draft.files = list(dict.fromkeys([*(draft.files if draft.version != base else ()), *files]))[
            :MAX_FILES
        ]
        draft.version += 1
        draft.save()
    return draft


def joined(first: str, second: str) -> str:
    """A text in which both stand."""
    if first.strip() in second:
        return second
    if second.strip() in first:
        return first
    return f"{first}\n\n{second}"


def sent(user: User, conversation: Conversation | None, *, text: str) -> None:
    """The draft with this text is a message now; one that says something else stays."""
    with transaction.atomic():
        draft = (
            Draft.objects.select_for_update()
            .filter(user=user, conversation=conversation)
            .exclude(text="")
            .first()
        )
        if draft is not None and draft.text.strip() == text.strip():
            draft.text, draft.files = "", []
            draft.version += 1
            draft.save()


def was_sent(user: User, client_id: UUID) -> bool:
    """Whether the message that a page sent under this id has come in."""
    return Turn.objects.for_user(user).filter(client_id=client_id).exists()
