"""What an agent may use of its turn's limits, and what a call gets of what is left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import budget
from agents.budget import CallPrice, Grant
from agents.limits import Limits

PRICE = CallPrice(input_nano=1_000_000, output_per_million_nano=2_500_000_000)  # 2,500 a token
LIMITS = Limits(
    max_steps=300,
    max_seconds=600,
    max_reasoning_tokens=9,
    max_output_tokens=1_000,
    max_cost_nano=10_000,
    max_sandbox_seconds=60,
    max_fetched_bytes=1_000,
    max_calls_per_tool={"search": 10, "fetch": 2, "python": 0},  # 0: not at all
)


def test_agents_together_get_less_than_the_turn_has() -> None:
    part = budget.share(LIMITS, num_agents=8)
    assert (part.max_steps, part.max_seconds, part.max_reasoning_tokens) == (300, 600, 9)
    assert part.max_output_tokens == 100
    assert part.max_cost_nano == 1_000
    assert (part.max_sandbox_seconds, part.max_fetched_bytes, part.max_total_tokens) == (6, 100, None)
    assert part.max_calls_per_tool == {"search": 2, "fetch": 1, "python": 0}


def test_an_agent_may_be_kept_to_fewer_steps_than_its_turn() -> None:
    assert budget.share(LIMITS, num_agents=2, max_steps=100).max_steps == 100
    assert budget.share(LIMITS, num_agents=2, max_steps=1_000).max_steps == 300


@pytest.mark.parametrize(
    ("left_nano", "granted"),
    [
        (None, Grant(max_tokens=8_000)),
        (10**9, Grant(max_tokens=8_000)),
        (1_000_000 + 4_000 * 2_500, Grant(max_tokens=4_000)),
        (1_000_000 + 1_000 * 2_500, Grant(max_tokens=1_000, is_final=True)),
        (1_000_000 + 100 * 2_500, None),
        (999_999, None),
        (-5, None),
    ],
)
def test_a_call_gets_what_fits_and_is_the_answer_when_that_is_little(
    left_nano: int | None, granted: Grant | None
) -> None:
    assert budget.grant(left_nano, PRICE, wanted=8_000) == granted


@given(left=st.integers(0, 10**9), wanted=st.integers(1, 10**6), rate=st.integers(0, 10**10))
def test_what_is_granted_never_costs_more_than_is_left(left: int, wanted: int, rate: int) -> None:
    price = CallPrice(input_nano=12_345, output_per_million_nano=rate)
    granted = budget.grant(left, price, wanted=wanted)
    assert granted is None or price.most_nano(granted.max_tokens) <= left
