"""`manage.py export_turn ID [--verify FILE]`: a turn as a log that shows tampering."""

import argparse
from itertools import zip_longest
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from agents import audit as log
from agents.audit import ChainBroken
from chat import audit
from chat.models import Turn


class Command(BaseCommand):
    help = (
        "Write everything that is stored of a turn as JSON lines, each with the hash of the line before it."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("turn", type=UUID, help="the turn's id")
        parser.add_argument("--output", type=Path, help="the file to write, instead of standard output")
        parser.add_argument(
            "--verify", type=Path, metavar="FILE", help="check this export instead of making one"
        )
        parser.add_argument("--last-hash", default="", help="with --verify: the hash that the export printed")

    def handle(
        self, *, turn: UUID, output: Path | None, verify: Path | None, last_hash: str, **_options: Any
    ) -> None:
        lines = list(audit.export(_turn(turn)))
        if verify is not None:
            self._verify(lines, verify, last_hash)
            return
        if output is None:
            self.stdout.write("\n".join(lines))
        else:
            output.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.stderr.write(
            f"{len(lines)} lines. Keep the hash of the last one elsewhere: {log.hash_of(lines[-1])}"
        )

    def _verify(self, stored: list[str], path: Path, last_hash: str) -> None:
        try:
            exported = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            log.verify(exported, last_hash=last_hash)
        except (OSError, UnicodeError) as fault:
            raise CommandError(f"{path} cannot be read: {fault}") from fault
        except ChainBroken as broken:
            raise CommandError(f"{path} was changed: {broken}.") from broken
        for number, (then, now) in enumerate(zip_longest(exported, stored), start=1):
            if then != now:
                raise CommandError(
                    f"{path} is sound, but the database says something else from line {number} on: the turn "
                    "went on since the export, or rows were changed."
                )
        self.stdout.write(f"{path} is sound, and says what the database says: {len(stored)} lines.")


def _turn(turn_id: UUID) -> Turn:
    try:
        return Turn.objects.get(id=turn_id)
    except Turn.DoesNotExist as error:
        raise CommandError(f"There is no turn {turn_id}.") from error
