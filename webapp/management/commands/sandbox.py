"""`manage.py sandbox test|install`: the fence around code that models write, and the packages it finds."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.sandbox import packages, tiers
from agents.sandbox.packages import InstallFailed
from chat import code_tools


class Command(BaseCommand):
    help = "The sandbox for code that models write: try it, or install the Python packages that code finds."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", choices=("test", "install"), help="`install` brings 500 MB of wheels")

    def handle(self, *, action: str, **_options: Any) -> None:
        tier = tiers.active()
        if not tier.is_offered:
            raise CommandError(f"Code tools are not offered here. {tier.reason}")
        self.stdout.write(f"{tier.name}: {tier.reason}")
        if action == "install":
            self._install()

    def _install(self) -> None:
        folder = code_tools.packages_folder()
        if packages.installed(folder):
            self.stdout.write(f"The packages are there already: {folder}")
            return
        self.stdout.write(f"Bringing {packages.SHOWN}. This takes some minutes.")
        try:
            packages.install(folder)
        except InstallFailed as fault:
            raise CommandError(f"The packages could not be installed: {fault}") from fault
        self.stdout.write(f"They are in {folder}; restart the platform to use them.")
