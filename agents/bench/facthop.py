"""FactHop over the whole factbook: questions of 2 to about 260 lookups with exact answers, asked of a
scripted model that misbehaves, through loop, cache, index and pages in a window of 32k tokens; and the index.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from inference.bench.report import Figure

ROOT = Path(__file__).resolve().parents[2]
LONGEST_RUN_S = 1_800


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--questions", type=int, default=20, help="short ones, of 2 to about 20 lookups")
    parser.add_argument("--window", type=int, default=32_768, help="tokens of the model's context")
    parser.add_argument("--share", type=float, default=0.1, help="of steps that go wrong")
    parser.add_argument("--manuals", default="/usr/share/doc", help="where Debian's manuals lie")


def run(options: argparse.Namespace) -> list[Figure]:
    """Raises CalledProcessError; what went wrong is on the standard error."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.loopforge.facthop_run", folder]
        for name in ("questions", "window", "share", "manuals"):
            command += [f"--{name}", str(getattr(options, name))]
        done = subprocess.run(
            command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=LONGEST_RUN_S
        )
    said = json.loads(done.stdout.splitlines()[-1])
    for result in said["results"]:
        if not result["is_right"]:
            sys.stderr.write(f"wrong: {result['question']}\n")
    return [*_answers(said), *_index(said["index"])]


def _answers(said: dict[str, Any]) -> list[Figure]:
    results, longest = said["results"], said["results"][-1]
    right = 100.0 * sum(result["is_right"] for result in results) / len(results)
    lookups = [result["num_lookups"] for result in results]
    seconds = longest["seconds"] / longest["num_steps"]
    return [
        Figure(name="questions answered right", value=right, unit="%", least=100),
        Figure(name="questions", value=len(results), unit=""),
        Figure(name="fewest tool calls of a question", value=min(lookups), unit=""),
        Figure(name="most tool calls of a question", value=max(lookups), unit="", least=250),
        Figure(name="faults met", value=said["faults"], unit=""),
        Figure(name="compactions of the longest", value=longest["num_handoffs"], unit="", least=3),
        Figure(name="a step of the longest, mean", value=1000 * seconds, unit="ms"),
    ]


def _index(index: dict[str, Any]) -> list[Figure]:
    built = [
        Figure(name=f"index of {name}, build", value=seconds, unit="s")
        for name, seconds in index["build_s"].items()
    ]
    return [
        *built,
        Figure(name="index, passages", value=index["num_passages"], unit=""),
        Figure(name="index, facts", value=index["num_facts"], unit=""),
        Figure(name="index, size", value=index["bytes"] / 1e6, unit="MB"),
        Figure(name="index, query p50", value=index["query_p50_ms"], unit="ms"),
        Figure(name="index, query p95", value=index["query_p95_ms"], unit="ms"),
    ]
