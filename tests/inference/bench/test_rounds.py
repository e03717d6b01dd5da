"""Rounds take every contender's measures in turn; goals are ratios of medians, or said to be unmeasured."""

from collections.abc import Iterable

import pytest

from inference.bench import rounds
from inference.bench.rounds import Goal, Samples
from inference.bench.workload import Measure, prompt

Run = tuple[Samples, list[tuple[str, Measure]]]


class Played:
    """A contender whose samples are written down; `log` hears who was asked for what."""

    load_s = 1.5

    def __init__(
        self, name: str, samples: dict[Measure, Iterable[float]], log: list[tuple[str, Measure]]
    ) -> None:
        self.name = name
        self.measures = frozenset(samples)
        self.facts: dict[str, str] = {}
        self._samples = {measure: iter(values) for measure, values in samples.items()}
        self._log = log

    def sample(self, measure: Measure) -> float:
        self._log.append((self.name, measure))
        return next(self._samples[measure])

    def peak_memory_bytes(self) -> int:
        return 3 * 2**30

    def close(self) -> None:
        return


@pytest.fixture(scope="module")
def played() -> Run:
    """Three rounds of two contenders, and who was asked for what."""
    log: list[tuple[str, Measure]] = []
    contenders = [
        Played(
            "ours", {Measure.DECODE: [30, 90, 36], Measure.COLD: [8, 8, 8], Measure.CACHED: [1, 2, 1]}, log
        ),
        Played("llama.cpp", {Measure.DECODE: [30, 5, 40]}, log),
    ]
    samples = rounds.run(contenders, num_rounds=3, on_stage=lambda stage: None)
    return samples, log


def test_each_round_another_contender_begins(played: Run) -> None:
    _, log = played
    decoded = [name for name, measure in log if measure is Measure.DECODE]
    assert decoded == ["ours", "llama.cpp", "llama.cpp", "ours", "ours", "llama.cpp"]


def test_a_goal_is_held_against_the_medians(played: Run) -> None:
    samples, _ = played
    goal = Goal(measure=Measure.DECODE, rival="llama.cpp", least=1.2)
    (figure,), unmeasured = rounds.goal_figures(samples, "ours", [goal])
    assert (figure.value, figure.met, unmeasured) == (36 / 30, True, [])


@pytest.mark.parametrize(("least", "met"), [(8.0, True), (9.0, False)])
def test_fewer_seconds_are_better(played: Run, least: float, met: bool) -> None:
    samples, _ = played
    goal = Goal(measure=Measure.CACHED, rival="ours", rival_measure=Measure.COLD, least=least)
    (figure,), _ = rounds.goal_figures(samples, "ours", [goal])
    assert figure.value == 8
    assert figure.met is met


def test_a_goal_without_its_rival_is_said_to_be_unmeasured(played: Run) -> None:
    samples, _ = played
    figures, unmeasured = rounds.goal_figures(
        samples, "ours", [Goal(measure=Measure.PREFILL, rival="llama.cpp", least=1.5)]
    )
    assert figures == []
    assert unmeasured == ["prefill of 512 tokens against llama.cpp's: not measured (goal >= 1.5 x)"]


def test_the_table_has_a_column_for_each_contender_and_gaps_where_nothing_was_measured(played: Run) -> None:
    samples, _ = played
    lines = {
        line.split("  ")[0]: line.split()[-4:]
        for line in rounds.table(samples, ["ours", "llama.cpp"]).splitlines()
    }
    assert lines["decode, one stream"][1:] == ["36.00", "30.00", "tokens/s"]
    assert lines["first token, prompt cold"][1:] == ["8.00", "-", "s"]
    assert lines["peak memory"][1:] == ["3.00", "3.00", "GiB"]


def test_prompts_of_two_numbers_share_no_beginning() -> None:
    assert prompt(1, 20) == prompt(1, 20)
    assert prompt(1, 20)[0] != prompt(2, 20)[0]
    assert prompt(1, 20)[1:] != prompt(2, 20)[1:]
