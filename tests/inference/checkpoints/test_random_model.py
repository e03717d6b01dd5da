"""Random checkpoints: of the shape class they claim, drawn again the same, and of use to a model."""

import json
from pathlib import Path

import pytest
import torch

from inference.checkpoints import folder, inspection, pack_quantized, random_model, verification, weights


def test_the_bench_s_model_is_of_kimi_k2_s_class_with_some_fifty_million_active(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(random_model.k2_for_bench()))
    figures = inspection.of(tmp_path)
    assert (figures.num_active - figures.num_parameters["head"]) / 1e6 == pytest.approx(54, abs=0.5)
    assert figures.config.latent is not None
    assert figures.config.latent.q_lora_rank
    assert figures.config.yarn is not None
    assert figures.num_parameters["expert"] > 0.85 * figures.total_parameters


@pytest.mark.parametrize("config", [random_model.k2_like(), random_model.dense("llama")], ids=["k2", "llama"])
def test_packed_weights_are_drawn_in_the_size_of_plain_ones(
    tmp_path: Path, config: dict[str, object]
) -> None:
    path = random_model.write(tmp_path / "model", config, stored="int4")
    assert verification.faults(path) == []
    opened = folder.read(path)
    packed = [name for name in weights.names(opened) if weights.is_packed(opened, name)]
    assert packed
    for name in packed[:3]:
        values = weights.plain(opened, name)
        assert float(values.std()) * values.shape[1] ** 0.5 == pytest.approx(1, abs=0.05)
        assert abs(float(values.mean())) < 0.05 * float(values.std())
        nibbles = pack_quantized.unpack(opened.tensor(name.removesuffix(".weight") + weights.PACKED))
        assert (int(nibbles.min()), int(nibbles.max())) == (1, 15)


def test_a_seed_draws_the_same_model_again(tmp_path: Path) -> None:
    paths = [
        random_model.write(tmp_path / f"{number}", random_model.moonlight_like(), stored="int4", seed=seed)
        for number, seed in enumerate((5, 5, 6))
    ]
    first, again, other = (path.joinpath("model.safetensors").read_bytes() for path in paths)
    assert first == again
    assert first != other
    head = [folder.read(path).tensor("lm_head.weight") for path in paths]
    assert not torch.equal(head[0], head[2])
