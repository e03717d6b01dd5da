from django.apps import AppConfig
from django.db.models.signals import post_save


class BillingConfig(AppConfig):
    name = "webapp.billing"
    label = "billing"

    def ready(self) -> None:
        from webapp.accounts.models import User
        from webapp.billing import accounts

        # Accounts may not import billing, so billing watches for new users: whoever makes one (sign-up, the
        # admin, createsuperuser, a test) opens an account with it, in the same transaction.
        post_save.connect(accounts.open_for_new_user, sender=User, dispatch_uid="open_account")
