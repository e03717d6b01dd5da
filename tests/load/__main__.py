"""`python -m tests.load [subject ...]`: measures the chat's stream and prints the figures; all subjects
together take about ten minutes and want a quiet machine."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from inference.bench import report
from inference.bench.report import Figure
from tests.load import crowded, cuts, slow, stopping

SUBJECTS: dict[str, tuple[Callable[[], list[Figure]], str]] = {
    "cuts": (cuts.measure, "500 random cuts while answers stream: nothing lost, nothing doubled"),
    "crowded": (crowded.measure, "1,000 sockets under Daphne and under uvicorn"),
    "slow": (slow.measure, "a reader of 1 kB/s beside 200 others"),
    "stopping": (stopping.measure, "how soon a provider is left after a stop"),
}


def figures(subjects: Sequence[str] = tuple(SUBJECTS)) -> list[Figure]:
    return [figure for subject in subjects for figure in SUBJECTS[subject][0]()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.load", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(SUBJECTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    if unknown := set(options.subjects) - set(SUBJECTS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    measured = figures(options.subjects or tuple(SUBJECTS))
    sys.stdout.write(f"{report.machine_line()}\n{report.table(measured)}\n")
    if options.json is not None:
        conditions = report.conditions(" ".join(["python -m tests.load", *options.subjects]))
        report.write(options.json, figures=measured, conditions=conditions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
