"""The bench of public problems says which solutions are right, and which would be let through by anything."""

import argparse
import gzip
import json
from pathlib import Path

import pytest

from agents.bench import problems
from agents.sandbox import tiers

pytestmark = pytest.mark.skipif(not tiers.active().is_offered, reason="no sandbox on this machine")


def problem(number: int, *, body: str, test: str) -> str:
    fields = {
        "task_id": f"Own/{number}",
        "prompt": "def double(x):\n",
        "entry_point": "double",
        "canonical_solution": f"    {body}\n",
        "test": f"def check(candidate):\n    {test}\n",
    }
    return json.dumps(fields)


def test_right_and_wrong_solutions_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (
        problem(1, body="return 2 * x", test="assert candidate(2) == 4"),
        problem(2, body="return x", test="assert candidate(2) == 4"),
        problem(3, body="return 2 * x", test="assert True"),
    )
    file = tmp_path / "problems.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    right, blank, _ = problems.run(argparse.Namespace(problems=file, first=100))
    assert (right.value, right.met) == (2, False)
    assert (blank.value, blank.met) == (2, False)
    assert "Own/2: 1 failed" in capsys.readouterr().err
