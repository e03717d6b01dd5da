"""The kernels compile for the chips they are for, and fit, on any machine that has Triton."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")

ROOT = Path(__file__).resolve().parents[3]
MOST_SHARED_BYTES = 227 * 1024  # of a Hopper block
MOST_SPILLED_BYTES = 256


def test_every_kernel_of_the_table_compiles_for_hopper_and_fits(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "inference.bench.gpu_compiled"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert len(lines) >= 20
    for name, _, spilled, shared, matrix, wide, *_ in lines:
        assert int(shared) <= MOST_SHARED_BYTES, name
        assert int(spilled) <= MOST_SPILLED_BYTES, name
        if name in ("gate_up_tiles", "down_tiles", "decode", "prefill"):
            assert int(matrix) > 0, f"{name} leaves the tensor cores idle"
        if name.startswith(("gate_up", "down", "decode", "prefill")):
            assert int(wide) > 0, f"{name} reads narrowly"
