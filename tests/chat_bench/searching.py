"""Search among 100,000 messages on both databases, by the command that measures it in one of its own."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from inference.bench.report import Figure
from tests import services
from tests.stack import ROOT


def measure() -> list[Figure]:
    here = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    figures = [_measured("SQLite", here)]
    if (programs := services.postgres_programs()) is not None:
        with tempfile.TemporaryDirectory(prefix="search-") as folder:
            Path(folder).chmod(0o755)  # PostgreSQL's own user goes through it
            cluster = services.PostgresCluster(Path(folder) / "cluster", programs=programs)
            try:
                cluster.start()
                figures.append(_measured("PostgreSQL", here | {"DATABASE_URL": cluster.url}))
            finally:
                cluster.stop()
    return figures


def _measured(database: str, environment: dict[str, str]) -> Figure:
    command = [sys.executable, "manage.py", "bench_search"]
    said = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"^all\s+p95\s+([\d.]+) ms", said, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"bench_search did not say its p95:\n{said}")
    name = f"G12 search in 100,000 messages, English and Chinese, {database}, p95"
    return Figure(name=name, value=float(found[1]), unit="ms", most=100)
