"""When a turn must end, and when the model is warned of it."""

from dataclasses import fields, replace

import pytest

from agents import limits
from agents.limits import Limit, Limits, Spent
from inference.schema import Usage

BOUNDS = Limits(
    max_steps=10,
    max_seconds=100,
    max_reasoning_tokens=50,
    max_output_tokens=1_000,
    max_cost_nano=500,
    max_total_tokens=2_000,
    max_sandbox_seconds=60,
    max_fetched_bytes=10_000,
)


def spent(*, step: int = 1, seconds: float = 0, output: int = 0, total: int = 0, cost: int = 0) -> Spent:
    usage = Usage(output_tokens=output, input_uncached_tokens=max(total - output, 0))
    return Spent(step=step, seconds=seconds, usage=usage, cost_nano=cost)


@pytest.mark.parametrize(
    ("used", "limit"),
    [
        (spent(step=10, seconds=89, output=999, total=1_999, cost=499), None),
        (spent(step=11), Limit.STEPS),
        (spent(seconds=90), Limit.SECONDS),  # the rest is for the answer
        (spent(output=1_000), Limit.OUTPUT_TOKENS),
        (spent(total=2_000), Limit.TOTAL_TOKENS),
        (spent(cost=500), Limit.COST),
        (replace(spent(), sandbox_ms=60_000), Limit.SANDBOX_SECONDS),
        (replace(spent(), fetched_bytes=10_000), Limit.FETCHED_BYTES),
    ],
)
def test_a_limit_is_reached_when_only_the_answer_fits_in_it(used: Spent, limit: Limit | None) -> None:
    assert limits.reached(BOUNDS, used) is limit


def test_what_the_last_step_cost_is_kept_for_the_answer() -> None:
    used = replace(spent(cost=400), last_cost_nano=100)
    assert limits.reached(BOUNDS, used) is Limit.COST
    assert limits.reached(BOUNDS, replace(used, last_cost_nano=99)) is None


@pytest.mark.parametrize(
    ("used", "limit"),
    [
        (spent(step=9), Limit.STEPS),
        (spent(seconds=80), Limit.SECONDS),
        (spent(output=800), Limit.OUTPUT_TOKENS),
        (spent(total=1_600), Limit.TOTAL_TOKENS),
        (spent(cost=400), Limit.COST),
        (replace(spent(), sandbox_ms=48_000), Limit.SANDBOX_SECONDS),
        (replace(spent(), fetched_bytes=8_000), Limit.FETCHED_BYTES),
    ],
)
def test_a_limit_is_near_at_four_fifths(used: Spent, limit: Limit) -> None:
    assert list(limits.near(BOUNDS, used)) == [limit]
    assert limits.near(BOUNDS, spent(step=8, seconds=79, output=799, total=1_599, cost=399)) == {}


def test_a_limit_that_is_not_set_is_never_reached() -> None:
    open_ended = replace(
        BOUNDS,
        max_cost_nano=None,
        max_total_tokens=None,
        max_sandbox_seconds=None,
        max_fetched_bytes=None,
    )
    used = replace(spent(total=10**9, cost=10**9), sandbox_ms=10**9, fetched_bytes=10**12)
    assert limits.reached(open_ended, used) is None


def test_more_effort_allows_more_of_everything() -> None:
    low, auto, high = (
        limits.preset(effort, long_thinking=True, reply_tokens=10**6) for effort in ("low", "auto", "high")
    )
    names = {field.name for field in fields(Limits)} - {"max_calls_per_tool", "max_total_tokens"}
    for name in names:
        assert getattr(low, name) < getattr(auto, name) < getattr(high, name) <= getattr(limits.HIGHEST, name)


def test_without_long_thinking_there_is_one_step_and_no_reasoning() -> None:
    off = limits.preset("high", long_thinking=False, reply_tokens=4_096)
    assert (off.max_steps, off.max_reasoning_tokens, off.max_output_tokens) == (1, 0, 4_096)


def test_a_model_with_short_replies_keeps_half_of_them_for_the_answer() -> None:
    assert limits.preset("high", long_thinking=True, reply_tokens=2_000).max_reasoning_tokens == 1_000


def test_the_published_evaluations_can_be_run_as_they_were() -> None:
    exam, search = limits.PUBLISHED["exam"], limits.PUBLISHED["search"]
    assert (exam.max_steps, exam.max_reasoning_tokens) == (120, 48 * 1_024)
    assert (search.max_steps, search.max_reasoning_tokens) == (300, 24 * 1_024)
