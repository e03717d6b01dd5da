"""`python -m tests.chat_bench [subject ...]`: measures the chat and prints the figures with their goals.

All subjects together take about a quarter of an hour and want a quiet machine; their figures are kept in
results/, with the machine named.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from inference.bench import report
from inference.bench.report import Figure
from tests.chat_bench import drafts, first_token, opening, rig, searching, streaming
from tests.load.__main__ import figures as measured_under_load

IN_A_BROWSER: dict[str, Callable[[rig.Rig], list[Figure]]] = {
    "opening": opening.measure,
    "first_token": first_token.measure,
    "streaming": streaming.measure,
    "drafts": drafts.measure,
}
RESULTS = Path(__file__).parent / "results"
GOALS_UNDER_LOAD = {"cuts": "G5", "crowded": "G6", "slow": "G7", "stopping": "G15"}


def _under_load() -> list[Figure]:
    subjects = GOALS_UNDER_LOAD.items()
    return [
        figure.named(f"{goal} {figure.name}")
        for name, goal in subjects
        for figure in measured_under_load([name])
    ]


ALONE: dict[str, Callable[[], list[Figure]]] = {"search": searching.measure, "load": _under_load}


def measure(subjects: Sequence[str]) -> list[Figure]:
    figures: list[Figure] = []
    shown = [name for name in IN_A_BROWSER if name in subjects]
    if shown:
        with rig.running() as running:
            for name in shown:
                figures += IN_A_BROWSER[name](running)
    for name, alone in ALONE.items():
        if name in subjects:
            figures += alone()
    return sorted(figures, key=lambda figure: int(figure.name[1:].split()[0]))


def main(arguments: Sequence[str]) -> int:
    every = [*IN_A_BROWSER, *ALONE]
    parser = argparse.ArgumentParser(prog="tests.chat_bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(every))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if unknown := set(options.subjects) - set(every):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    conditions = report.conditions(" ".join(["python -m tests.chat_bench", *arguments]))
    figures = measure(options.subjects or every)
    sys.stdout.write(f"{report.machine_line()}\n{report.table(figures)}\n")
    kept = options.json or (None if options.subjects else RESULTS / f"chat-{os.cpu_count()}-cores.json")
    if kept is not None:
        report.write(kept, figures=figures, conditions=conditions)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
