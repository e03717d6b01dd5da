"""When a turn must end, and when it is told to."""

import pytest

from agents import limits
from agents.limits import Limit, Limits, Spent
from inference.schema import Usage

BOUNDS = Limits(
    max_steps=10, max_seconds=100, max_reasoning_tokens=50, max_output_tokens=1_000, max_cost_nano=500
)


def spent(*, step: int = 1, seconds: float = 0, output: int = 0, cost: int = 0) -> Spent:
    return Spent(step=step, seconds=seconds, usage=Usage(output_tokens=output), cost_nano=cost)


@pytest.mark.parametrize(
    ("used", "limit"),
    [
        (spent(step=10, seconds=99, output=999, cost=499), None),
        (spent(step=11), Limit.STEPS),
        (spent(seconds=100), Limit.SECONDS),
        (spent(output=1_000), Limit.OUTPUT_TOKENS),
        (spent(cost=500), Limit.COST),
    ],
)
def test_a_limit_is_reached_when_it_is_used_up(used: Spent, limit: Limit | None) -> None:
    assert limits.reached(BOUNDS, used) is limit


@pytest.mark.parametrize(
    "used", [spent(step=10), spent(seconds=80), spent(output=800), spent(cost=400)], ids=str
)
def test_the_answer_is_asked_for_while_there_is_something_left(used: Spent) -> None:
    assert limits.must_wind_up(BOUNDS, used)
    assert not limits.must_wind_up(BOUNDS, spent(step=9, seconds=79, output=799, cost=399))


def test_more_effort_allows_more_of_everything() -> None:
    low, auto, high = (
        limits.preset(effort, long_thinking=True, reply_tokens=10**6) for effort in ("low", "auto", "high")
    )
    for name in ("max_steps", "max_seconds", "max_reasoning_tokens", "max_output_tokens", "max_cost_nano"):
        assert getattr(low, name) < getattr(auto, name) < getattr(high, name) <= getattr(limits.HIGHEST, name)


def test_without_long_thinking_there_is_one_step_and_no_reasoning() -> None:
    off = limits.preset("high", long_thinking=False, reply_tokens=4_096)
    assert (off.max_steps, off.max_reasoning_tokens, off.max_output_tokens) == (1, 0, 4_096)


def test_a_model_with_short_replies_keeps_half_of_them_for_the_answer() -> None:
    assert limits.preset("high", long_thinking=True, reply_tokens=2_000).max_reasoning_tokens == 1_000
