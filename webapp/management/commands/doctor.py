"""`manage.py doctor`: what is missing on this machine, and how to fix it."""

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand

from webapp import environment
from webapp.management import diagnosis


class Command(BaseCommand):
    help = "Say what this machine has and lacks for running the platform; ends with 1 when it cannot run."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=environment.number("PORT", 8000, minimum=1))

    def handle(self, *, port: int, **_options: Any) -> None:
        can_run = True
        for finding in diagnosis.findings(port=port):
            mark = "ok" if not finding.fix else "FIX" if finding.is_needed else "note"
            self.stdout.write(f"{mark:<5}{finding.subject:<14}{finding.says}")
            if finding.fix:
                self.stdout.write(f"{'':<19}-> {finding.fix}")
            can_run = can_run and not (finding.fix and finding.is_needed)
        if not can_run:
            sys.exit(1)
