"""`manage.py seed`: models and prices; on an empty installation the first users, with passwords made now."""

from typing import Any

from django.core.management.base import BaseCommand

from webapp.management import first_run


class Command(BaseCommand):
    help = (
        "Write the models and prices that the settings ask for, and on an empty installation the first users."
    )

    def handle(self, **_options: Any) -> None:
        logins = first_run.seed()
        for login in logins:
            self.stdout.write(f"{login.username} {login.password}")
        if logins:
            self.stderr.write(f"Shown once; kept in {first_run.passwords_path()}.")
