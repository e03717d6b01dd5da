"""The end of an account. The person is gone at once: their name, address and password, their keys and
sessions. What is theirs elsewhere is deleted by who keeps it, told by the signal `closed`, and again every
hour until nothing is left. Bills stay, under no name."""

from django.db import transaction
from django.db.models import QuerySet
from django.dispatch import Signal

from webapp.accounts import keys
from webapp.accounts.models import ApiKey, User

DOMAIN = "deleted.invalid"

closed = Signal()  # with `user`; whoever hears it deletes what is theirs, and may be told again


def close(user: User) -> None:
    with transaction.atomic():
        user.username = f"deleted-{user.pk}"
        user.email = f"{user.pk}@{DOMAIN}"
        user.first_name = user.last_name = ""
        user.is_active = user.is_staff = user.is_superuser = False
        user.set_unusable_password()  # which ends every session
        user.save()
        user.groups.clear()
        for key in ApiKey.objects.filter(user=user, revoked_at=None):
            keys.revoke(key)
        ApiKey.objects.filter(user=user).update(name="-")
    closed.send(sender=User, user=user)


def clear_again() -> None:
    """What a process that died has left of closed accounts."""
    for user in closed_accounts():
        closed.send(sender=User, user=user)


def closed_accounts() -> QuerySet[User]:
    return User.objects.filter(is_active=False, email__endswith=f"@{DOMAIN}")
