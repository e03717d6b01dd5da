"""`manage.py bench_usage --rows N`: how fast the pages of usage are over many rows."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from webapp.management import usage_bench


class Command(BaseCommand):
    help = "Fill an EMPTY scratch database (DATABASE_URL) with usage, sum it up, and time the pages."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--rows", type=int, default=1_000_000)
        parser.add_argument("--days", type=int, default=365)
        parser.add_argument("--rounds", type=int, default=20)

    def handle(self, *, rows: int, days: int, rounds: int, **_options: Any) -> None:
        try:
            usage_bench.fill(rows, num_days=days, tell=self.stdout.write)
        except ValueError as fault:
            raise CommandError(str(fault)) from fault
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE")
        num_hours, took_s = usage_bench.sum_up()
        self.stdout.write(
            f"{connection.vendor}: {rows:,} records summed up as {num_hours:,} in {took_s:.1f} s"
        )
        for timing in usage_bench.time_pages(num_rounds=rounds):
            self.stdout.write(f"{timing.name:<24}p50 {timing.p50_ms:7.1f} ms   p95 {timing.p95_ms:7.1f} ms")
