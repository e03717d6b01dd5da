"""`manage.py bench_api`: what the REST gateway adds, beside LiteLLM's proxy."""

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from inference.bench import report
from webapp.management import api_bench
from webapp.management.web_bench import SERVERS


class Command(BaseCommand):
    help = "Measure what the gateway adds to a provider's own time, with a mock provider on the loopback."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--server", choices=sorted(SERVERS), default="daphne")
        parser.add_argument("--requests", type=int, default=600, help="requests of each kind")
        parser.add_argument("--streams", type=int, default=2_000, help="streams to hold open at once")
        parser.add_argument("--litellm", type=Path, metavar="PROGRAM", help="LiteLLM's, to measure beside it")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")

    def handle(
        self, *, server: str, requests: int, streams: int, litellm: Path | None, **options: Any
    ) -> None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            mock = stack.enter_context(api_bench.mock())
            own = stack.enter_context(api_bench.gateway(folder, mock, server=server))
            places = [own]
            if litellm is not None and litellm.exists():
                places.append(stack.enter_context(api_bench.litellm(folder, mock, litellm)))
            else:
                self.stdout.write("LiteLLM's proxy is not installed: nothing is measured beside the gateway.")
            figures = asyncio.run(api_bench.measure(mock, places, num_requests=requests))
            if streams:
                num_streams = api_bench.most_streams(streams)
                figures += asyncio.run(api_bench.open_streams(own, num_streams=num_streams))
        self.stdout.write(report.table(figures))
        if options["json"] is not None:
            conditions = report.conditions(f"manage.py bench_api --server {server} --requests {requests}")
            report.write(options["json"], figures=figures, conditions=conditions)
