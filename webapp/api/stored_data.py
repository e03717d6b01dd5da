"""What programs of a person have stored here is deleted with their account."""

from webapp.accounts.models import User
from webapp.api.models import Response, StoredConversation


def clear(user: User, **_signal: object) -> None:
    """A receiver of the signal that an account is closed. Again is harmless."""
    Response.objects.filter(user=user).delete()
    StoredConversation.objects.filter(user=user).delete()
