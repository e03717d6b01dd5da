"""Which token is drawn: filters, penalties, biases, masks, seeds; and how likely it is said to be."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine import SamplingParams, sampler
from inference.engine.sampler import Floats, NothingAllowed, Sampler

LOGITS = np.log(np.array([0.5, 0.3, 0.1, 0.06, 0.04], np.float32))


def sampler_of(
    params: SamplingParams, *, seed: int = 0, vocab_size: int = 5, prompt_ids: tuple[int, ...] = ()
) -> Sampler:
    return Sampler(params, prompt_ids=prompt_ids, seed=seed, vocab_size=vocab_size)


def draws(params: SamplingParams, *, num_draws: int = 3000, logits: Floats = LOGITS) -> list[float]:
    """How often each token comes, over as many seeds."""
    counts = np.zeros(len(logits))
    for seed in range(num_draws):
        counts[sampler_of(params, seed=seed, vocab_size=len(logits)).draw(logits, position=3)] += 1
    return [float(share) for share in counts / num_draws]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draws(SamplingParams(temperature=0), num_draws=20) == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (SamplingParams(), [0.5, 0.3, 0.1, 0.06, 0.04]),
        (SamplingParams(top_k=1), [1, 0, 0, 0, 0]),
        (SamplingParams(top_k=2), [0.625, 0.375, 0, 0, 0]),
        (SamplingParams(top_k=50), [0.5, 0.3, 0.1, 0.06, 0.04]),
        (SamplingParams(top_p=0.7), [0.625, 0.375, 0, 0, 0]),
        (SamplingParams(top_p=0.0), [1, 0, 0, 0, 0]),
        (SamplingParams(min_p=0.15), [0.556, 0.333, 0.111, 0, 0]),
        (SamplingParams(top_k=4, top_p=0.85, min_p=0.5), [0.625, 0.375, 0, 0, 0]),
        (SamplingParams(temperature=0.5), [0.699, 0.252, 0.028, 0.010, 0.004]),
        (SamplingParams(logit_bias={0: -100, 4: math.log(10)}), [0, 0.349, 0.116, 0.070, 0.465]),
    ],
)
def test_tokens_come_as_often_as_they_should(params: SamplingParams, expected: list[float]) -> None:
    assert draws(params) == pytest.approx(expected, abs=0.03)


def kept_by_definition(logits: Floats, params: SamplingParams) -> set[int]:
    """The tokens that top_k, then min_p, then top_p leave, by sorting everything in torch."""
    ranked, order = (torch.from_numpy(logits).double() / params.temperature).sort(
        descending=True, stable=True
    )
    if params.top_k > 0:
        ranked = ranked[: params.top_k]
    probabilities = ranked.softmax(0)
    probabilities[probabilities < params.min_p * probabilities[0]] = 0
    before = probabilities.cumsum(0) - probabilities
    is_kept = (probabilities > 0) & (before < params.top_p * probabilities.sum())
    is_kept[0] = True
    return set(order[: len(ranked)][is_kept].tolist())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    vocab_size=st.sampled_from([3, 700, 5000, 20_000]),
    spread=st.sampled_from([0.1, 1.0, 4.0]),
    params=st.builds(
        SamplingParams,
        temperature=st.sampled_from([0.3, 1.0, 2.0]),
        top_k=st.sampled_from([0, 1, 20, 600]),
        top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
        min_p=st.sampled_from([0.0, 0.02, 0.5]),
    ),
)
def test_only_what_the_filters_keep_is_drawn_and_all_of_it_can_be(
    seed: int, vocab_size: int, spread: float, params: SamplingParams
) -> None:
    logits = (np.random.default_rng(seed).standard_normal(vocab_size) * spread).astype(np.float32)
    kept = kept_by_definition(logits, params)
    drawn = {sampler_of(params, seed=s, vocab_size=vocab_size).draw(logits, position=s) for s in range(60)}
    edge = sorted(logits[list(kept)])[0]
    # Rounding may move the edge past a token as likely as the last one.
    assert all(token in kept or abs(logits[token] - edge) < 1e-3 for token in drawn)
    shares = (torch.from_numpy(logits)[list(kept)] / params.temperature).softmax(0)
    assert len(drawn) > 1 or float(shares.max()) > 0.9


def test_equally_likely_tokens_fill_a_nucleus_to_its_size() -> None:
    flat = np.zeros(20_000, np.float32)
    drawn = {
        sampler_of(SamplingParams(top_p=0.1), seed=s, vocab_size=20_000).draw(flat, position=0)
        for s in range(99)
    }
    assert len(drawn) > 90
    assert max(drawn) < 2000


def test_a_large_top_k_reaches_rare_tokens() -> None:
    flat = np.zeros(200_000, np.float32)
    params = SamplingParams(top_k=150_000)
    drawn = {sampler_of(params, seed=seed, vocab_size=200_000).draw(flat, position=0) for seed in range(20)}
    assert len(drawn) == 20
    assert max(drawn) < 150_000


@pytest.mark.parametrize("filters", [{}, {"top_p": 0.9}, {"top_k": 3}, {"min_p": 0.1}])
def test_the_smallest_temperature_is_as_good_as_none(filters: dict[str, float]) -> None:
    params = SamplingParams(temperature=1e-45, **filters)  # type: ignore[arg-type]  # top_k is an int
    with np.errstate(all="raise", under="ignore"):
        assert draws(params, num_draws=20, logits=LOGITS[::-1].copy()) == [0, 0, 0, 0, 1]


def test_the_smallest_repetition_penalty_leaves_numbers() -> None:
    logits = np.array([3, 0, -2, 1], np.float32)
    params = SamplingParams(repetition_penalty=1e-300)
    drawer = sampler_of(params, vocab_size=4, prompt_ids=(1, 3))
    with np.errstate(all="raise", under="ignore"):
        assert drawer.draw(logits, position=0) == 3


def test_the_same_bias_on_every_token_changes_nothing() -> None:
    params = SamplingParams(logit_bias=dict.fromkeys(range(5), -100.0))
    assert draws(params, num_draws=200) == draws(SamplingParams(), num_draws=200)


def test_a_draw_depends_on_seed_and_position_alone() -> None:
    def drawn(seed: int) -> list[int]:
        one = sampler_of(SamplingParams(top_p=0.9), seed=seed)
        return [one.draw(LOGITS, position=position) for position in range(50)]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert len(set(drawn(7))) > 1


def test_penalties_count_what_was_generated() -> None:
    def likeliest(params: SamplingParams, output_ids: list[int]) -> int:
        one = sampler_of(params, prompt_ids=(0, 0, 0))
        one.count(output_ids)
        return one.draw(LOGITS, position=0)

    presence = SamplingParams(temperature=0, presence_penalty=1.0)
    frequency = SamplingParams(temperature=0, frequency_penalty=0.3)
    assert likeliest(presence, []) == 0
    assert likeliest(presence, [0]) == 1
    assert likeliest(frequency, [0]) == 0
    assert likeliest(frequency, [0, 0]) == 1


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_a_repetition_penalty_counts_prompt_and_output_for_either_sign(shift: float) -> None:
    """log 0.5 / log 0.3 is 0.58: halving one and doubling the other change who is likeliest."""
    one = sampler_of(SamplingParams(temperature=0, repetition_penalty=2.0), prompt_ids=(0,))
    assert one.draw(LOGITS + np.float32(shift), position=0) == 1
    one.count([1])
    assert one.draw(LOGITS, position=0) == 0


def test_a_bias_on_an_unknown_token_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 4"):
        sampler_of(SamplingParams(logit_bias={5: 1.0}))


@pytest.mark.parametrize("params", [SamplingParams(temperature=0), SamplingParams(), SamplingParams(top_k=3)])
def test_a_mask_leaves_only_what_it_allows(params: SamplingParams) -> None:
    mask = np.array([0b10100], np.uint32)
    drawn = {sampler_of(params, seed=seed).draw(LOGITS, position=0, mask=mask) for seed in range(200)}
    assert drawn == ({2} if params.temperature == 0 else {2, 4})
    with pytest.raises(NothingAllowed):
        sampler_of(params).draw(LOGITS, position=0, mask=np.array([0b1100000], np.uint32))


def test_tokens_beyond_a_mask_are_not_allowed() -> None:
    logits = np.arange(40, dtype=np.float32)
    mask = np.array([0xFFFFFFFF], np.uint32)
    assert sampler_of(SamplingParams(temperature=0), vocab_size=40).draw(logits, position=0, mask=mask) == 31


def test_logits_are_left_as_they_were() -> None:
    before = LOGITS.copy()
    one = sampler_of(SamplingParams(frequency_penalty=2, repetition_penalty=1.5), prompt_ids=(1,))
    one.count([1, 1])
    one.draw(LOGITS, position=0, mask=np.array([0b111], np.uint32))
    assert np.array_equal(LOGITS, before)


def test_log_probabilities_are_those_of_the_model_whatever_the_sampling() -> None:
    logits = np.random.default_rng(1).standard_normal(30_000).astype(np.float32)
    expected = torch.from_numpy(logits).double().log_softmax(0)
    top = expected.topk(5)
    params = SamplingParams(temperature=0.1, logit_bias={3: 50.0}, num_logprobs=5)
    told = sampler_of(params, vocab_size=30_000).logprob(logits, 3)
    assert told.logprob == pytest.approx(float(expected[3]), abs=1e-5)
    assert [token_id for token_id, _ in told.top] == top.indices.tolist()
    assert [value for _, value in told.top] == pytest.approx(top.values.tolist(), abs=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_single_number_that_is_none_is_seen(value: float) -> None:
    logits = np.zeros(1000, np.float32)
    assert sampler.is_finite(logits)
    logits[999] = value
    assert not sampler.is_finite(logits)
