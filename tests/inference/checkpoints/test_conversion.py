"""Quantising and converting: what changes, what stays; half a folder is never taken for a whole one."""

import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.checkpoints import BadModelFile, conversion, folder, random_model, weights
from inference.checkpoints.folder import CheckpointFolder
from inference.checkpoints.writing import AlreadyThere, CheckpointWriter

EXPERT = "model.layers.1.mlp.experts.3.up_proj.weight"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = random_model.write(tmp_path_factory.mktemp("plain") / "k2", random_model.k2_like())
    (path / "tokenizer.json").write_text("{}")
    return path


def packed(opened: CheckpointFolder) -> set[str]:
    return {name.removesuffix(weights.PACKED) for name in opened.tensors if name.endswith(weights.PACKED)}


def test_only_routed_experts_are_quantised_and_all_else_is_taken_over(plain: Path, tmp_path: Path) -> None:
    count = conversion.quantize(plain, tmp_path / "int4", shard_bytes=1 << 19)
    source, target = folder.read(plain), folder.read(tmp_path / "int4")
    assert len(packed(target)) == count == 2 * 16 * 3
    assert all(".mlp.experts." in name for name in packed(target))
    bias = "model.layers.1.mlp.gate.e_score_correction_bias"
    assert target.tensors[bias].dtype == "F32"
    for name in weights.names(source):
        if name.removesuffix(weights.PLAIN) not in packed(target):
            assert torch.equal(target.tensor(name), source.tensor(name)), name
    assert (tmp_path / "int4" / "tokenizer.json").exists()
    settings = json.loads((tmp_path / "int4" / "config.json").read_text())["quantization_config"]
    assert (settings["quant_method"], settings["format"]) == ("compressed-tensors", "pack-quantized")


def test_chosen_targets_are_quantised(plain: Path, tmp_path: Path) -> None:
    conversion.quantize(plain, tmp_path / "int4", ignore=("lm_head", "re:.*experts.*"))
    names = packed(folder.read(tmp_path / "int4"))
    assert "model.layers.0.mlp.down_proj" in names
    assert "model.layers.2.self_attn.kv_b_proj" in names
    assert not any("experts" in name or "lm_head" in name or "embed" in name for name in names)


def test_converted_weights_are_the_quantised_ones_and_quantise_to_the_same_words(
    plain: Path, tmp_path: Path
) -> None:
    conversion.quantize(plain, tmp_path / "int4")
    conversion.convert(tmp_path / "int4", tmp_path / "f32", dtype=torch.float32)
    quantised, converted = folder.read(tmp_path / "int4"), folder.read(tmp_path / "f32")
    assert "quantization_config" not in converted.config
    for name in packed(quantised):
        assert torch.equal(converted.tensor(f"{name}.weight"), weights.plain(quantised, f"{name}.weight"))
    assert not packed(converted)


def test_half_a_folder_is_never_taken_for_a_whole_one(plain: Path, tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        if done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversion.convert(plain, tmp_path / "copy", shard_bytes=1 << 18, on_progress=fail)
    assert list(tmp_path.iterdir()) == []
    with CheckpointWriter(tmp_path / "slow", {}, shard_bytes=4) as writer:
        writer.add("a", torch.zeros(4))
        writer.add("b", torch.zeros(4))
        assert not (tmp_path / "slow").exists()
    assert (tmp_path / "slow" / "model.safetensors.index.json").exists()


def test_a_full_disk_ends_in_words_and_leaves_nothing(plain: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, before[1]))
    try:
        with pytest.raises(OSError, match="could not be written.*make room"):
            conversion.convert(plain, tmp_path / "copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_source_with_a_misshapen_matrix_is_refused_before_anything_is_written(
    plain: Path, tmp_path: Path
) -> None:
    source = tmp_path / "k2"
    source.mkdir()
    stored = {**load_file(plain / "model.safetensors"), EXPERT: torch.zeros(8, 100)}
    save_file(stored, source / "model.safetensors")
    (source / "config.json").write_text((plain / "config.json").read_text())
    with pytest.raises(BadModelFile, match=rf"{EXPERT} has shape \[8, 100\]"):
        conversion.quantize(source, tmp_path / "int4")


def test_an_existing_folder_is_not_overwritten_and_an_empty_choice_is_refused(
    plain: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(AlreadyThere, match="name another folder"):
        conversion.convert(plain, tmp_path / "there")
    with pytest.raises(BadModelFile, match="nothing in k2"):
        conversion.quantize(plain, tmp_path / "int4", ignore=("re:.*",))
