"""The soak that `python -m inference.bench soak` runs for minutes, for some seconds here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from inference import registry
from inference.bench import soak
from inference.bench.soak_rig import Look

ROOT = Path(__file__).resolve().parent.parent.parent


def looks(*megabytes: int) -> list[Look]:
    return [
        Look(at_s=10 * n, rss_bytes=size << 20, num_files=9, num_threads=4, redis_bytes=0, num_keys=0)
        for n, size in enumerate(megabytes)
    ]


def test_memory_that_grows_is_told_from_memory_that_fills_and_stays() -> None:
    assert soak._growth(*soak._parts(looks(10, 80, 100, 100, 101, 100, 100, 101))) < soak._MORE_MEMORY
    assert soak._growth(*soak._parts(looks(10, 80, 100, 110, 120, 130, 140, 150))) > soak._MORE_MEMORY


@pytest.mark.faults
@pytest.mark.slow
def test_clients_that_come_and_go_at_random_leave_nothing_behind(tmp_path: Path) -> None:
    if not registry.entry("smollm2").path(settings.MODELS_DIR).exists():
        pytest.skip("the model is not at hand: python manage.py models pull smollm2")
    figures = tmp_path / "soak.json"
    command = [sys.executable, "-m", "inference.bench", "soak", "--minutes", "0.3", "--clients", "32"]
    places = ["--models-dir", str(settings.MODELS_DIR), "--json", str(figures)]
    ended = subprocess.run(
        [*command, *places], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = {row["name"]: row["value"] for row in json.loads(figures.read_text())["figures"]}
    assert min(counts["requests finished"], counts["requests cut"], counts["requests vanished"]) > 0
