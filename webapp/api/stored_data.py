"""What programs of a person have stored here is deleted with their account."""

from webapp.accounts.models import User
from webapp.api.models import Batch, KeyedCall, Response, StoredConversation, StoredFile


def clear(user: User, **_signal: object) -> None:
    """A receiver of the signal that an account is closed. Again is harmless."""
    Response.objects.filter(user=user).delete()
    StoredConversation.objects.filter(user=user).delete()
    KeyedCall.objects.filter(api_key__user=user).delete()
    Batch.objects.filter(user=user).delete()  # whose lines go with it
    for stored in StoredFile.objects.filter(user=user):
        stored.file.delete(save=False)
        stored.delete()
