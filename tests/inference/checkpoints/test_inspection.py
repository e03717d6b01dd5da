"""Figures from config.json alone: Kimi K2's and Moonlight's, as known from their published sizes."""

import json
from pathlib import Path
from typing import Any

import pytest

from inference.checkpoints import BadModelFile, inspection, random_model
from tests.inference import tiny_model
from tests.inference.checkpoints.published import K2_THINKING, MOONLIGHT


def figures(folder: Path, config: dict[str, Any]) -> inspection.Figures:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return inspection.of(folder)


def test_kimi_k2_s_figures_follow_from_its_config(tmp_path: Path) -> None:
    k2 = figures(tmp_path / "k2", K2_THINKING)
    assert k2.total_parameters == 1_026_408_232_448
    assert k2.num_active / 1e9 == pytest.approx(31.69, abs=0.005)
    assert k2.num_bytes["expert"] == 570_760_888_320
    assert k2.total_bytes == 594_205_305_856
    assert k2.cache_bytes_per_token == 70_272
    assert k2.context_within(600_000_000_000) == (600_000_000_000 - 594_205_305_856) // 70_272
    assert k2.context_within(1_000_000_000_000) == 262_144
    assert k2.context_within(500_000_000_000) == 0


def test_moonlight_s_figures_follow_from_its_config(tmp_path: Path) -> None:
    moonlight = figures(tmp_path / "moonlight", MOONLIGHT)
    embeddings = moonlight.num_parameters["embedding"] + moonlight.num_parameters["head"]
    assert moonlight.total_parameters / 1e9 == pytest.approx(15.96, abs=0.005)
    assert (moonlight.total_parameters - embeddings) / 1e9 == pytest.approx(15.29, abs=0.005)
    assert (moonlight.num_active - moonlight.num_parameters["head"]) / 1e9 == pytest.approx(2.24, abs=0.005)
    assert moonlight.cache_bytes_per_token == 31_104


@pytest.mark.parametrize("stored", ["int4", "bf16"])
def test_figures_from_the_config_are_those_of_the_files(tmp_path: Path, stored: random_model.Format) -> None:
    folder = random_model.write(tmp_path / "k2", random_model.k2_like(), stored=stored)
    lines = list(inspection.report(folder))
    on_disk = int(lines[-1].split()[2].replace(",", ""))
    # The files hold the router's bias in fp32, and two numbers for the shape of each packed matrix.
    num_packed = 2 * 16 * 3 if stored == "int4" else 0
    assert on_disk == inspection.of(folder).total_bytes + 2 * 2 * 16 + 8 * num_packed


def test_a_report_says_shapes_bytes_and_what_fits(tmp_path: Path) -> None:
    path = tiny_model.write(tmp_path / "tiny.gguf")
    report = "\n".join(inspection.report(path, memory_gb=1))
    assert "model.layers.N.mlp.down_proj" in report
    assert "[256, 512]        x 2" in report
    assert "keys and values: 1,024 bytes a token" in report
    assert "1 GB hold it with 512 tokens" in report
    little = "\n".join(inspection.report(path, memory_gb=0.001))
    assert "0.001 GB are too little" in little


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match=r"config\.json.*pull"):
        inspection.of(tmp_path)
