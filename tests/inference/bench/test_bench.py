"""The bench of the engine prints a table and writes its figures in the form that every bench writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.inference import model_files


def test_the_bench_prints_and_writes_its_figures(tmp_path: Path) -> None:
    model, written = model_files.smollm2(), tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "inference.bench", "--model", str(model), "--json", str(written)],
        cwd=model_files.ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    report = json.loads(written.read_text())
    assert report["machine"]["cores"] >= 1
    names = [figure["name"] for figure in report["figures"]]
    assert {"load time", "prefill of 512 tokens", "decode, one sequence", "peak memory"} <= set(names)
    for figure in report["figures"]:
        assert set(figure) == {"name", "value", "unit", "goal", "met"}
        assert figure["value"] > 0
        assert figure["name"] in done.stdout
