"""One comparison of contenders: its measuring, its text and its JSON."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.bench import report, rounds
from inference.bench.peers import OURS, Field
from inference.bench.report import Figure
from inference.bench.rounds import Goal, Samples
from inference.bench.workload import Measure

NUM_ROUNDS = 7


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was measured of one subject; `missing` says what was not, `derived` follows from samples."""

    subject: str
    names: Sequence[str]
    facts: dict[str, dict[str, str]]
    missing: Sequence[str]
    samples: Samples
    goals: Sequence[Goal]
    derived: Sequence[Figure] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        reached, unmeasured = rounds.goal_figures(self.samples, OURS, self.goals)
        return {
            "subject": self.subject,
            "contenders": self.facts,
            "missing": [*self.missing, *unmeasured],
            "conditions": self.samples.conditions(),
            "figures": [item.as_dict() for item in [*rounds.figures(self.samples), *self.derived]],
            "goals": [item.as_dict() for item in reached],
            "samples": {
                f"{measure}: {name}": [round(value, 4) for value in values]
                for (name, measure), values in self.samples.values.items()
            },
        }


def add_options(parser: argparse.ArgumentParser, *, measures: Sequence[Measure] = rounds.IN_ROUNDS) -> None:
    """`--rounds` and `--measures`, by default those given."""
    parser.add_argument("--rounds", type=int, default=NUM_ROUNDS, help=f"{NUM_ROUNDS} or more for the record")
    names = {measure.name.lower(): measure for measure in rounds.IN_ROUNDS}
    parser.add_argument(
        "--measures",
        nargs="+",
        type=lambda name: names.get(name, name),
        choices=list(names.values()),
        default=list(measures),
        metavar="|".join(names),
        help="only these",
    )


def tell(stage: str) -> None:
    """Say what is being done, beside the figures."""
    print(f"… {stage}", file=sys.stderr, flush=True)


def measure(field: Field, *, num_rounds: int, measures: Sequence[Measure]) -> Samples:
    """Rounds over a field whose contenders run."""
    return rounds.run(field.contenders, num_rounds=num_rounds, measures=measures, on_stage=tell)


def text(comparison: Comparison) -> str:
    """The medians, the goals met and missed, and what was not measured."""
    samples = comparison.samples
    reached, unmeasured = rounds.goal_figures(samples, OURS, comparison.goals)
    figures = [*comparison.derived, *reached]
    kernels = "; ".join(
        f"{name}: {', '.join(facts.values())}" for name, facts in comparison.facts.items() if facts
    )
    lines = [
        f"\n{comparison.subject}; {report.machine_line()}",
        f"median of {len(samples.load_averages)} rounds, contenders in turn; {kernels}",
        _busy_line(samples),
        rounds.table(samples, comparison.names),
        *([report.table(figures)] if figures else []),
        *comparison.missing,
        *unmeasured,
    ]
    return "\n".join(lines)


def write(path: Path, comparisons: Sequence[Comparison], *, command: str) -> None:
    """Machine, conditions and every comparison with its samples, as JSON."""
    report.write_content(
        path,
        {
            "machine": report.machine(),
            "conditions": report.conditions(command),
            "comparisons": [comparison.as_dict() for comparison in comparisons],
        },
    )


def _busy_line(samples: Samples) -> str:
    loads, others = samples.load_averages, samples.others_percent
    return (
        f"load average {min(loads):.1f} to {max(loads):.1f}; before each round, all contenders idle, "
        f"{min(others):.0f} to {max(others):.0f} % of the cores were busy with other work"
    )
