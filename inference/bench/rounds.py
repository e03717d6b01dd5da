"""Contenders measured in turn, round after round: what else the machine does hits all of them alike."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from inference.bench import report, workload
from inference.bench.contender import Contender
from inference.bench.report import Figure
from inference.bench.workload import Measure

_LOOK_S = 0.5
# The others come once: load time before the first round, peak memory after the last.
IN_ROUNDS = tuple(measure for measure in Measure if measure not in (Measure.LOAD, Measure.MEMORY))


@dataclass(frozen=True, kw_only=True)
class Goal:
    """`ours` should be at least `least` times as good as `rival`, in one measure or each in its own.

    Good is fast: more tokens/s, fewer seconds.
    """

    measure: Measure
    rival: str
    least: float
    rival_measure: Measure | None = None


@dataclass
class Samples:
    """All that rounds gave, by contender and measure; and how busy the machine was before each, all idle."""

    values: dict[tuple[str, Measure], list[float]] = field(default_factory=dict)
    load_averages: list[float] = field(default_factory=list)
    others_percent: list[float] = field(default_factory=list)

    def add(self, name: str, measure: Measure, value: float) -> None:
        self.values.setdefault((name, measure), []).append(value)

    def median(self, name: str, measure: Measure) -> float | None:
        values = self.values.get((name, measure))
        return statistics.median(values) if values else None

    def ratio(self, name: str, goal: Goal) -> float | None:
        """How many times as good `name` is as the goal's rival; None: one of the two was not measured."""
        rival_measure = goal.rival_measure or goal.measure
        ours, theirs = self.median(name, goal.measure), self.median(goal.rival, rival_measure)
        if ours is None or theirs is None:
            return None
        return theirs / ours if workload.unit(goal.measure) == "s" else ours / theirs

    def conditions(self) -> dict[str, object]:
        return {
            "rounds": len(self.load_averages),
            "load_averages": [round(load, 2) for load in self.load_averages],
            "cores_busy_with_others_percent": [round(percent, 1) for percent in self.others_percent],
        }


def run(
    contenders: Sequence[Contender],
    *,
    num_rounds: int,
    on_stage: Callable[[str], None],
    measures: Sequence[Measure] = IN_ROUNDS,
) -> Samples:
    """Every measure of every contender once a round; each round another contender begins.

    Raises ContenderFailed.
    """
    samples = Samples()
    for contender in contenders:
        samples.add(contender.name, Measure.LOAD, contender.load_s)
    for number in range(num_rounds):
        samples.others_percent.append(psutil.cpu_percent(interval=_LOOK_S))
        samples.load_averages.append(report.load_average())
        on_stage(f"round {number + 1} of {num_rounds}, load average {samples.load_averages[-1]:.1f}")
        first = number % len(contenders)
        for measure in measures:
            for contender in [*contenders[first:], *contenders[:first]]:
                if measure in contender.measures:
                    samples.add(contender.name, measure, contender.sample(measure))
    for contender in contenders:
        samples.add(contender.name, Measure.MEMORY, contender.peak_memory_bytes() / 2**30)
    return samples


def figures(samples: Samples) -> list[Figure]:
    """The medians."""
    return [
        Figure(name=f"{measure}: {name}", value=statistics.median(values), unit=workload.unit(measure))
        for (name, measure), values in sorted(samples.values.items(), key=lambda item: _place(item[0][1]))
    ]


def goal_figures(samples: Samples, name: str, goals: Sequence[Goal]) -> tuple[list[Figure], list[str]]:
    """The ratios of goals that were measured, and a line for each that was not."""
    reached, unmeasured = [], []
    for goal in goals:
        against = goal.rival_measure or f"{goal.rival}'s"
        ratio = samples.ratio(name, goal)
        if ratio is None:
            unmeasured.append(f"{goal.measure} against {against}: not measured (goal >= {goal.least:g} x)")
        else:
            reached.append(
                Figure(name=f"{goal.measure} against {against}", value=ratio, unit="x", least=goal.least)
            )
    return reached, unmeasured


def table(samples: Samples, names: Sequence[str]) -> str:
    """Medians: a line for each measure, a column for each contender."""
    measures = [measure for measure in Measure if any((name, measure) in samples.values for name in names)]
    widths = [max(10, len(name)) for name in names]
    left = max(len(measure) for measure in measures)
    heading = "".join(f"  {name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [f"{'':<{left}}{heading}"]
    for measure in measures:
        cells = [
            _cell(samples.median(name, measure), width) for name, width in zip(names, widths, strict=True)
        ]
        lines.append(f"{measure:<{left}}{''.join(cells)}  {workload.unit(measure)}")
    return "\n".join(lines)


def _cell(value: float | None, width: int) -> str:
    text = "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"
    return f"  {text:>{width}}"


def _place(measure: Measure) -> int:
    return list(Measure).index(measure)
