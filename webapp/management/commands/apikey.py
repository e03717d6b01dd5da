"""`manage.py apikey create --user NAME`: a key for the REST API."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webapp.accounts import keys
from webapp.accounts.models import User


class Command(BaseCommand):
    help = "Make an API key; its secret is printed once and stored as a hash."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="print a new key")
        create.add_argument("--user", required=True, help="whose key it is")
        create.add_argument("--name", default="command line", help="what the settings page calls it")

    def handle(self, *, user: str, name: str, **_options: Any) -> None:
        try:
            owner = User.objects.get(username=user)
        except User.DoesNotExist as error:
            raise CommandError(f"There is no user {user!r}. The admin site lists all users.") from error
        _, secret = keys.create(owner, name=name)
        self.stdout.write(secret)
