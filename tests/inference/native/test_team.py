"""The threads share out work without waiting for one that has taken none, and outlive forks and closing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from inference.native import library, matrix, self_test

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def packed():
    return matrix.pack([self_test.random_blocks("Q4_0", 400, 256, torch.Generator().manual_seed(1))])


@pytest.fixture(scope="module")
def x():
    return torch.randn(5, 256, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("num_threads", [1, 2, 3, 16])
def test_any_number_of_threads_gives_the_same_bits(packed, x, num_threads):
    with library.Team(1) as one, library.Team(num_threads) as team:
        assert team.num_threads == num_threads
        wanted = matrix.linear(packed, x, one)
        for _ in range(300):
            assert torch.equal(matrix.linear(packed, x, team), wanted)


def test_threads_that_went_to_sleep_wake_again(packed, x):
    with library.Team(3) as team:
        first = matrix.linear(packed, x, team)
        for _ in range(5):
            time.sleep(0.002)  # far beyond what a thread spins for
            assert torch.equal(matrix.linear(packed, x, team), first)


def test_idle_threads_use_no_processor(packed, x):
    with library.Team(4) as team:
        matrix.linear(packed, x, team)
        time.sleep(0.05)
        before = time.process_time()
        time.sleep(1.0)
        assert time.process_time() - before < 0.4


def test_a_team_can_be_closed_twice_and_made_again(packed, x):
    for _ in range(50):
        team = library.Team(4)
        matrix.linear(packed, x, team)
        team.close()
        team.close()


def test_a_forked_child_computes_without_its_parents_threads():
    program = """
import os, torch
from inference.native import library, matrix, self_test
packed = matrix.pack([self_test.random_blocks("Q4_0", 400, 256, torch.Generator().manual_seed(1))])
x = torch.ones(2, 256)
team = library.Team(4)
wanted = matrix.linear(packed, x, team)
child = os.fork()
if child == 0:
    same = all(torch.equal(matrix.linear(packed, x, team), wanted) for _ in range(100))
    team.close()
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
print("child", os.waitstatus_to_exitcode(status), torch.equal(matrix.linear(packed, x, team), wanted))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "child 0 True\n", done.stderr
