"""`manage.py models list|pull`: the local models this platform knows, and fetching them."""

import argparse
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference import registry
from webapp.management import model_file


class Command(BaseCommand):
    help = "List the local models, or fetch one."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="names, sizes, licences, and which are at hand")
        pull = actions.add_parser("pull", help="fetch one, checked against the registry")
        pull.add_argument("name", help="the model's name in the registry")
        pull.add_argument("--path", type=Path, help="take this copy of the file instead of downloading")

    def handle(self, *, action: str, **options: Any) -> None:
        try:
            if action == "list":
                self._list()
            else:
                self._pull(options["name"], options["path"])
        except registry.RegistryError as error:
            raise CommandError(str(error)) from error

    def _list(self) -> None:
        models_dir = Path(settings.MODELS_DIR)
        for name, entry in registry.load().items():
            state = "at hand" if registry.is_at_hand(entry, models_dir) else "not fetched"
            self.stdout.write(
                f"{name:<22} {entry.size / 1e6:>8,.0f} MB  {entry.license:<12} {state:<12} {entry.label}"
            )

    def _pull(self, name: str, given_path: Path | None) -> None:
        path = model_file.fetch(name, models_dir=Path(settings.MODELS_DIR), given_path=given_path)
        self.stdout.write(str(path))
