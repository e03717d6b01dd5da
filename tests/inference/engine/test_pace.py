"""Prompts are read in pieces that keep a step short, whatever the machine's speed."""

import pytest

from inference.engine.pace import Pace


def learnt(*, token_s: float, decode_s: float = 0.0, step_s: float | None = 0.1) -> Pace:
    """After steps on a machine of that speed, each as long as the pace had it."""
    pace = Pace(step_s)
    for num_rows in (0, 2):
        for _ in range(12):
            if num_rows:
                pace.observe(num_rows=num_rows, num_prompt_tokens=0, elapsed_s=decode_s)
            num_tokens = pace.prompt_tokens(num_rows=num_rows, most=512)
            elapsed_s = token_s * num_tokens + (decode_s if num_rows else 0.0)
            pace.observe(num_rows=num_rows, num_prompt_tokens=num_tokens, elapsed_s=elapsed_s)
    return pace


@pytest.mark.parametrize("token_s", [0.0002, 0.001, 0.0049])
def test_a_piece_takes_as_long_as_a_step_may(token_s: float) -> None:
    num_tokens = learnt(token_s=token_s).prompt_tokens(num_rows=0, most=512)
    assert num_tokens == 512 or 0.1 - 17 * token_s <= num_tokens * token_s <= 0.1


def test_a_slow_machine_still_reads_on() -> None:
    assert learnt(token_s=0.05).prompt_tokens(num_rows=0, most=512) == 8


def test_what_is_generated_beside_takes_its_time_from_the_piece() -> None:
    pace = learnt(token_s=0.001, decode_s=0.05)
    assert pace.prompt_tokens(num_rows=0, most=512) == pytest.approx(96, abs=16)
    assert pace.prompt_tokens(num_rows=2, most=512) == pytest.approx(48, abs=16)


def test_without_a_goal_pieces_are_as_large_as_they_may_be() -> None:
    assert learnt(token_s=0.01, step_s=None).prompt_tokens(num_rows=3, most=300) == 300


def test_the_cost_of_another_row_is_learnt() -> None:
    pace = Pace(0.1)
    for _ in range(20):
        pace.observe(num_rows=1, num_prompt_tokens=0, elapsed_s=0.02)
        pace.observe(num_rows=5, num_prompt_tokens=0, elapsed_s=0.03)
    assert pace.row_cost == pytest.approx(0.125, abs=0.01)
