"""Which token is drawn: filters, penalties, seeds and frequencies."""

import pytest
import torch

from inference.engine import SamplingParams, sampler

LOGITS = torch.tensor([0.5, 0.3, 0.1, 0.06, 0.04]).log()


def draws(params: SamplingParams, *, num_draws: int = 2000, logits: torch.Tensor = LOGITS) -> list[float]:
    """How often each token comes, over as many seeds."""
    counts = torch.zeros(len(logits))
    for seed in range(num_draws):
        counts[sampler.sample(logits, params, seed=seed, position=3, output_ids=[])] += 1
    return (counts / num_draws).tolist()


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draws(SamplingParams(temperature=0), num_draws=20) == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (SamplingParams(), [0.5, 0.3, 0.1, 0.06, 0.04]),
        (SamplingParams(top_k=2), [0.625, 0.375, 0, 0, 0]),
        (SamplingParams(top_p=0.7), [0.625, 0.375, 0, 0, 0]),
        (SamplingParams(top_p=0.0), [1, 0, 0, 0, 0]),
        (SamplingParams(min_p=0.15), [0.556, 0.333, 0.111, 0, 0]),
        (SamplingParams(top_k=4, top_p=0.85, min_p=0.5), [0.625, 0.375, 0, 0, 0]),
        (SamplingParams(temperature=0.5), [0.699, 0.252, 0.028, 0.010, 0.004]),
    ],
)
def test_tokens_come_as_often_as_they_should(params: SamplingParams, expected: list[float]) -> None:
    assert draws(params) == pytest.approx(expected, abs=0.035)


def test_filters_reach_tokens_too_rare_to_be_candidates_at_first() -> None:
    flat = torch.zeros(200_000)
    drawn = {
        sampler.sample(flat, SamplingParams(top_k=150_000), seed=seed, position=0, output_ids=[])
        for seed in range(20)
    }
    assert len(drawn) == 20
    assert max(drawn) < 150_000


def test_a_draw_depends_on_seed_and_position_alone() -> None:
    def drawn(seed: int) -> list[int]:
        params = SamplingParams(top_p=0.9)
        return [
            sampler.sample(LOGITS, params, seed=seed, position=position, output_ids=[])
            for position in range(50)
        ]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_penalties_count_what_was_generated() -> None:
    def likeliest(params: SamplingParams, output_ids: list[int]) -> int:
        return sampler.sample(LOGITS, params, seed=0, position=0, output_ids=output_ids)

    presence = SamplingParams(temperature=0, presence_penalty=1.0)
    frequency = SamplingParams(temperature=0, frequency_penalty=0.3)
    assert likeliest(presence, []) == 0
    assert likeliest(presence, [0]) == 1
    assert likeliest(frequency, [0]) == 0
    assert likeliest(frequency, [0, 0]) == 1


def test_logits_are_left_as_they_were() -> None:
    before = LOGITS.clone()
    sampler.sample(LOGITS, SamplingParams(frequency_penalty=2), seed=0, position=0, output_ids=[1, 1])
    assert torch.equal(LOGITS, before)
