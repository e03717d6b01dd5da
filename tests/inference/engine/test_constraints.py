"""A sequence under a constraint says what it allows, and ends when all is said."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.engine import ConstraintFailed, Engine, SamplingParams
from tests.inference import tiny_model
from tests.inference.engine.conftest import LoadTiny
from tests.inference.engine.driving import GREEDY, prompt, run, sequence

STOP = 500


@dataclass
class Words:
    """Exactly these choices, one after the other: a constraint as simple as can be."""

    choices: list[set[int]]
    forces: bool = False
    allows_stop_at_end: bool = False
    heard: list[int] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        return len(self.heard) == len(self.choices) and not self.allows_stop_at_end

    def mask(self) -> NDArray[np.uint32] | None:
        at_end = len(self.heard) == len(self.choices)
        allowed = {STOP} if at_end else self.choices[len(self.heard)]
        bits = np.zeros(tiny_model.VOCAB_SIZE, np.uint8)
        bits[list(allowed)] = 1
        return np.packbits(bits, bitorder="little").view(np.uint32)

    def forced(self) -> list[int]:
        found: list[int] = []
        for choice in self.choices[len(self.heard) :]:
            if not self.forces or len(choice) > 1:
                break
            found += choice
        return found

    def accept(self, token_ids: list[int]) -> None:
        for token_id in token_ids:
            if token_id not in self.choices[len(self.heard)]:
                raise ConstraintFailed(f"token {token_id} has no place here")
            self.heard.append(token_id)


CHOICES = [{10, 20, 30}, {40}, {41}, {42}, {50, 60}, {70}]


@pytest.mark.parametrize("sampling", [GREEDY, SamplingParams(seed=1), SamplingParams(top_k=5, seed=2)])
def test_a_constraint_is_kept_whatever_the_sampling(tiny: Engine, sampling: SamplingParams) -> None:
    constraint = Words(CHOICES)
    answer = run(tiny, sequence("a", prompt(1, 20), sampling=sampling, constraint=constraint, max_tokens=50))[
        "a"
    ]
    assert answer.finish_reason == "stop"
    assert constraint.heard == answer.token_ids
    assert all(token in choice for token, choice in zip(answer.token_ids, CHOICES, strict=True))


def test_what_a_constraint_forces_is_said_at_once_and_changes_nothing(tiny: Engine) -> None:
    drawn = run(tiny, sequence("a", prompt(1, 20), constraint=Words(CHOICES), max_tokens=50))["a"]
    before = tiny.describe()["steps_total"]
    forced = run(tiny, sequence("b", prompt(1, 20), constraint=Words(CHOICES, forces=True), max_tokens=50))[
        "b"
    ]
    assert (forced.token_ids, forced.finish_reason) == (drawn.token_ids, "stop")
    assert tiny.describe()["steps_total"] - before == 4


def test_a_constraint_may_end_by_a_stop_token_which_it_does_not_hear(tiny: Engine) -> None:
    constraint = Words(CHOICES, allows_stop_at_end=True)
    asked = sequence("a", prompt(1, 20), constraint=constraint, stop_ids=[STOP], max_tokens=50)
    answer = run(tiny, asked)["a"]
    assert (answer.finish_reason, answer.token_ids, constraint.heard) == (
        "stop",
        constraint.heard,
        answer.token_ids,
    )
    assert len(answer.token_ids) == len(CHOICES)


@pytest.mark.parametrize("forces", [False, True])
@pytest.mark.parametrize("sampling", [GREEDY, SamplingParams(seed=1)])
def test_guesses_change_nothing_under_a_constraint(
    load_tiny: LoadTiny, sampling: SamplingParams, forces: bool
) -> None:
    choices = [{10, 11}, {20}, {30}, {40}, {50}, {60}] * 10
    said = []
    for speculates in (False, True):
        engine = load_tiny(speculates=speculates)
        constraint = Words(choices, forces=forces)
        asked = sequence("a", prompt(1, 20), sampling=sampling, constraint=constraint, max_tokens=90)
        said.append(run(engine, asked)["a"].token_ids)
        assert constraint.heard == said[-1]
    assert said[0] == said[1]
    assert forces or engine.describe()["accepted_tokens_total"] > 0


def test_a_constraint_s_length_limit_is_the_sequence_s(tiny: Engine) -> None:
    asked = sequence("a", prompt(1, 20), constraint=Words(CHOICES, forces=True), max_tokens=3)
    answer = run(tiny, asked)["a"]
    assert (len(answer.token_ids), answer.finish_reason) == (3, "length")


def test_a_constraint_that_allows_nothing_ends_only_its_own_sequence(tiny: Engine) -> None:
    stuck = sequence("stuck", prompt(1, 20), constraint=Words([{10}, set(), {11}]), max_tokens=50)
    answers = run(tiny, stuck, sequence("free", prompt(2, 20)))
    assert (answers["stuck"].finish_reason, answers["stuck"].token_ids) == ("error", [10])
    assert "constraint" in answers["stuck"].error
    assert answers["free"].finish_reason == "length"


def test_a_constraint_that_fails_says_why(tiny: Engine) -> None:
    tiny.add(sequence("a", prompt(1, 20), constraint=Words(CHOICES), max_tokens=50))
    tiny.force("a", [99])
    (output,) = tiny.step()
    assert (output.finish_reason, output.error) == ("error", "token 99 has no place here")
    assert tiny.describe()["num_blocks_used"] == 0


class Broken(Words):
    """Fails when it is asked what is forced behind its third token."""

    def forced(self) -> list[int]:
        if len(self.heard) == 3:
            raise ConstraintFailed("the grammar gave up")
        return []


@pytest.mark.parametrize("speculates", [False, True])
def test_a_constraint_that_fails_at_any_question_ends_its_sequence_alone(
    load_tiny: LoadTiny, speculates: bool
) -> None:
    engine = load_tiny(speculates=speculates)
    answer = run(engine, sequence("a", prompt(1, 20), constraint=Broken([{10}] * 9), max_tokens=9))["a"]
    assert (answer.finish_reason, answer.error) == ("error", "the grammar gave up")
    assert answer.token_ids == [10, 10, 10]
