"""What programs of a person have stored here is deleted with their account."""

from django.db import transaction

from webapp.accounts.models import User
from webapp.api.models import Batch, KeyedCall, Response, StoredConversation, StoredFile
from webapp.billing import holds


def clear(user: User, **_signal: object) -> None:
    """A receiver of the signal that an account is closed. Again is harmless. Nobody will read an answer that
    is still being made: what is held for it is given back."""
    with transaction.atomic():
        unanswered = Response.objects.filter(user=user, status__in=Response.OPEN, hold__isnull=False)
        for hold_id in unanswered.filter(turn=None).values_list("hold_id", flat=True):
            holds.release(hold_id)
        Response.objects.filter(user=user).delete()
    StoredConversation.objects.filter(user=user).delete()
    KeyedCall.objects.filter(api_key__user=user).delete()
    Batch.objects.filter(user=user).delete()  # whose lines go with it
    for stored in StoredFile.objects.filter(user=user):
        stored.file.delete(save=False)
        stored.delete()
