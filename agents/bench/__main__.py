"""`python -m agents.bench [subject]`: measures a subject and prints its figures; `--help` lists them.

A subject is a module with `add_options(parser)` and `run(options) -> list of figures`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from agents.bench import facthop, pages, problems, sandbox, search, steps, together
from inference.bench import report

DEFAULT_SUBJECT = "steps"
SUBJECTS = {
    "facthop": (facthop, "questions of 2 to 260 lookups with exact answers, and the local index"),
    "problems": (problems, "reference solutions of public problems, run in the sandbox"),
    "pages": (pages, "how long a page takes to open, fetched and shown in a browser"),
    "steps": (steps, "what a step of a turn costs beside LangGraph and the OpenAI Agents SDK (the default)"),
    "search": (search, "the local index: build, size, speed, and how well it finds, re-ranked or not"),
    "sandbox": (sandbox, "how long code waits for the sandbox: cold, warm, eight at once"),
    "together": (together, "how much of the ideal throughput many turns at once reach"),
}


def main(arguments: Sequence[str]) -> int:
    """Run the subject that the arguments name; returns the exit code."""
    if not arguments or arguments[0] not in {*SUBJECTS, "-h", "--help"}:
        arguments = [DEFAULT_SUBJECT, *arguments]
    parser = argparse.ArgumentParser(prog="agents.bench", description="Measure agent turns.")
    subjects = parser.add_subparsers(metavar="subject", required=True)
    for name, (module, purpose) in SUBJECTS.items():
        subject = subjects.add_parser(name, help=purpose, description=purpose)
        subject.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
        module.add_options(subject)
        subject.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    figures = options.run(options)
    sys.stdout.write(f"{report.machine_line()}\n{report.table(figures)}\n")
    if options.json is not None:
        conditions = report.conditions(" ".join(["python -m agents.bench", *arguments]))
        report.write(options.json, figures=figures, conditions=conditions)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
