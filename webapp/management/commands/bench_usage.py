"""`manage.py bench_usage --rows N`: how fast the pages of usage are over many rows."""

import argparse
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone

from webapp.billing.models import UsageDay, UsageHour, UsageRecord
from webapp.management import usage_bench
from webapp.management.usage_bench import Timing


class Command(BaseCommand):
    help = "Fill an EMPTY scratch database (DATABASE_URL) with usage, sum it up, and time the pages."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--rows", type=int, default=1_000_000)
        parser.add_argument("--days", type=int, default=365)
        parser.add_argument("--rounds", type=int, default=20)
        parser.add_argument("--filled", action="store_true", help="it was filled by this command before")
        parser.add_argument("--json", type=Path, help="write what was measured to this file, too")

    def handle(
        self, *, rows: int, days: int, rounds: int, filled: bool, json: Path | None, **_options: Any
    ) -> None:
        try:
            if not filled:
                usage_bench.fill(rows, num_days=days, tell=self.stdout.write)
        except ValueError as fault:
            raise CommandError(str(fault)) from fault
        rows = UsageRecord.objects.count()
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE")
        num_hours, took_s = usage_bench.sum_up()
        self.stdout.write(
            f"{connection.vendor}: {rows:,} records summed up as {num_hours:,} in {took_s:.1f} s"
        )
        timings = usage_bench.time_pages(num_rounds=rounds)
        for timing in timings:
            self.stdout.write(
                f"{timing.name:<24}p50 {timing.p50_ms:7.1f} ms   p95 {timing.p95_ms:7.1f} ms"
                f"   computing {timing.cpu_p50_ms:7.1f} ms"
            )
        if json:
            json.write_bytes(orjson.dumps(_result(rows, took_s, timings), option=orjson.OPT_INDENT_2) + b"\n")


def _result(rows: int, took_s: float, timings: list[Timing]) -> dict[str, Any]:
    return {
        "database": connection.vendor,
        "rows": rows,
        "rows_of_hours": UsageHour.objects.count(),
        "rows_of_days": UsageDay.objects.count(),
        "summed_up_in_s": round(took_s, 1),
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "at": timezone.now().isoformat(timespec="minutes"),
        "pages": [asdict(timing) for timing in timings],
    }
