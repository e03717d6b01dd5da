"""Search among 100,000 messages, by the command that measures it in a database of its own."""

import re
import subprocess
import sys

from inference.bench.report import Figure
from tests.stack import ROOT


def measure() -> list[Figure]:
    command = [sys.executable, "manage.py", "bench_search"]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^all\s+p95\s+([\d.]+) ms", said, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"bench_search did not say its p95:\n{said}")
    return [Figure(name="G12 search in 100,000 messages, p95", value=float(found[1]), unit="ms", most=100)]
