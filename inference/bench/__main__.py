"""`python -m inference.bench [subject]`: measures a subject and prints its figures; `--help` lists them.

A subject is a module with `add_options(parser)` and `run(options) -> exit code`, imported only when asked
for: what one of them sets up (threads, torch, another program) must not touch another.
"""

import argparse
import importlib
import logging
import signal
import sys
from collections.abc import Sequence

DEFAULT_SUBJECT = "engine"
SUBJECTS = {
    "engine": (
        "inference.bench.throughput",
        "load time, prompt and decode speed of the engine alone (the default)",
    ),
    "cpu": ("inference.bench.cpu", "the engine beside llama.cpp and transformers on the same files"),
    "quality": ("inference.bench.quality", "how near each precision comes to fp32 on fixed tokens"),
    "moe": ("inference.bench.moe", "an INT4 mixture of experts beside its own BF16 and transformers"),
    "schemas": (
        "inference.bench.constrained",
        "calls bound to a generated set of schemas: how many are valid",
    ),
    "gpu": (
        "inference.bench.gpu",
        "the kernels and the decoder on this machine's GPU, at the real shapes of Kimi K2",
    ),
    "soak": ("inference.bench.soak", "many clients that connect, cut and come back for minutes"),
}


def main(arguments: Sequence[str]) -> int:
    """Run the subject that the arguments name; returns the exit code."""
    logging.basicConfig(level="WARNING")
    names_one = bool(arguments) and (arguments[0] in SUBJECTS or arguments[0] in ("-h", "--help"))
    arguments = [*arguments] if names_one else [DEFAULT_SUBJECT, *arguments]
    parser = argparse.ArgumentParser(prog="inference.bench", description="Measure this project's engine.")
    subjects = parser.add_subparsers(metavar="subject", required=True)
    for name, (module, purpose) in SUBJECTS.items():
        subject = subjects.add_parser(name, help=purpose, description=purpose)
        if name == arguments[0]:
            chosen = importlib.import_module(module)
            chosen.add_options(subject)
            subject.set_defaults(run=chosen.run)
    options = parser.parse_args(arguments)
    options.command = " ".join(["python -m inference.bench", *sys.argv[1:]])
    # Asked to end, a subject still stops what it started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
