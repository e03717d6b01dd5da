"""The GPU's bench, rehearsed: every part of it runs on tiny shapes, so that it does when there is a GPU."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")

from inference.kernels.gpu.tuning import ExpertConfig

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_the_whole_bench_runs_on_tiny_shapes(tmp_path: Path) -> None:
    results = tmp_path / "gpu.json"
    command: list[str | Path] = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "inference.bench",
        "gpu",
        "--rehearse",
        "--json",
        results,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900)
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in json.loads(results.read_text())["figures"]}
    assert figures["kernels that failed their self-test"]["value"] == 0
    errors = [name for name in figures if name.endswith("error against fp64")]
    assert len(errors) == 4
    assert all(figures[name]["met"] for name in errors)
    assert "tiny, batch 3: INT4 over BF16" in figures
    assert "tiny, 1 layers, batch 1: whole model on 8 devices, at least" in figures


@pytest.mark.slow
def test_a_sweep_writes_a_table_that_the_kernels_can_read(tmp_path: Path) -> None:
    table = tmp_path / "tuning.toml"
    command: list[str | Path] = [sys.executable, "-W", "ignore", "-m", "inference.bench", "gpu"]
    command += ["--rehearse", "--tune", table]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900)
    assert done.returncode == 0, done.stderr
    written = tomllib.loads(table.read_text())["device"]["interpreter"]
    assert set(written) == {"gate_up", "down", "latent_decode"}
    assert [row.pop("up_to") for row in written["gate_up"]] == [1, 3]
    assert ExpertConfig(**written["gate_up"][0]).way in ("rows", "tiles")
