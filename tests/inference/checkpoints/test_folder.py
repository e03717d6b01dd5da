"""Checkpoint folders that are damaged, incomplete or of another kind are refused with what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.checkpoints import (
    BadModelFile,
    conversion,
    folder,
    fp8_blocks,
    listing,
    random_model,
    verification,
)
from inference.model import sources
from inference.model.decoder import TorchDecoder

QUERY = "model.layers.1.self_attn.q_b_proj.weight"
EXPERT = "model.layers.1.mlp.experts.3.up_proj"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An INT4 folder of one file."""
    return random_model.write(tmp_path_factory.mktemp("whole") / "k2", random_model.k2_like(), stored="int4")


@pytest.fixture
def edited(whole: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy with some tensors changed (None: left out) and some keys of config.json."""

    def edit(tensors: dict[str, Tensor | None] | None = None, **config: Any) -> Path:
        target = tmp_path / "edited"
        target.mkdir()
        stored = {**load_file(whole / "model.safetensors"), **(tensors or {})}
        kept = {name: tensor for name, tensor in stored.items() if tensor is not None}
        save_file(kept, target / "model.safetensors")
        raw = json.loads((whole / "config.json").read_text())
        (target / "config.json").write_text(json.dumps({**raw, **config}))
        return target

    return edit


def load(path: Path) -> TorchDecoder:
    return TorchDecoder(sources.open_parameters(path), precision="fp32")


def test_a_whole_folder_is_read(whole: Path) -> None:
    assert load(whole).config.architecture == "kimi_k2"


@pytest.mark.parametrize("num_bytes", [0, 5, 5000, -1])
def test_a_truncated_file_is_refused(edited: Callable[..., Path], num_bytes: int) -> None:
    path = edited()
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:num_bytes])
    with pytest.raises(BadModelFile, match=r"model\.safetensors is cut short or damaged.*pull"):
        folder.read(path)


def test_a_missing_shard_and_a_missing_name_are_told_apart(whole: Path, tmp_path: Path) -> None:
    conversion.convert(whole, tmp_path / "plain", shard_bytes=1 << 19)
    shards = sorted((tmp_path / "plain").glob("*.safetensors"))
    assert len(shards) > 2
    assert shards[0].name == f"model-00001-of-{len(shards):06}.safetensors"
    load(tmp_path / "plain")
    shards[1].rename(shards[1].with_suffix(".aside"))
    with pytest.raises(BadModelFile, match=f"{shards[1].name} is missing"):
        folder.read(tmp_path / "plain")
    shards[0].replace(shards[1])
    with pytest.raises(BadModelFile, match=r"which its index names|is missing"):
        folder.read(tmp_path / "plain")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({QUERY: None}, f"no tensor {QUERY}"),
        ({QUERY: torch.zeros(8, 8, dtype=torch.bfloat16)}, r"shape \[8, 8\].*asks for \[256, 96\]"),
        ({"model.norm.weight": torch.zeros(9)}, r"model\.norm\.weight has shape \[9\]"),
        ({f"{EXPERT}.weight_scale": None}, "weight_scale"),
        ({f"{EXPERT}.weight_packed": torch.zeros(64, 9, dtype=torch.int32)}, r"shape \[64, 9\]"),
        ({f"{EXPERT}.weight_shape": torch.tensor([64, 128])}, r"weight_shape says \[64, 128\]"),
        ({QUERY: torch.zeros(256, 96, dtype=torch.int8)}, "of type I8"),
        ({f"{EXPERT}.weight_scale": torch.zeros(64, 8, dtype=torch.int32)}, "weight_scale is of type I32"),
        ({f"{EXPERT}.weight_zero_point": torch.zeros(1)}, "weight_zero_point, which is not read here"),
        ({f"language_model.{QUERY}": torch.zeros(256, 96)}, f"{QUERY} is in model.safetensors and"),
    ],
)
def test_a_missing_or_misshapen_tensor_is_named(
    edited: Callable[..., Path], tensors: dict[str, Tensor | None], words: str
) -> None:
    with pytest.raises(BadModelFile, match=words):
        load(edited(tensors))


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "fp8", "weight_block_size": [64, 64]},
        {**conversion.quantization_config(()), "format": "marlin-24"},
        {**conversion.quantization_config(()), "config_groups": {"group_0": {"weights": {"num_bits": 8}}}},
        {**conversion.quantization_config(()), "config_groups": ["group_0"]},
    ],
)
def test_another_quantisation_is_refused(edited: Callable[..., Path], settings: dict[str, Any]) -> None:
    path = edited(quantization_config=settings)
    with pytest.raises(BadModelFile, match="quantised in a way that this engine does not read"):
        load(path)
    with pytest.raises(BadModelFile, match="quantised in a way that this engine does not read"):
        conversion.convert(path, path.with_name("plain"))
    (fault,) = verification.faults(path)
    assert "quantised in a way that this engine does not read" in fault


def test_a_tensor_in_two_files_and_a_file_elsewhere_are_refused(whole: Path, tmp_path: Path) -> None:
    conversion.convert(whole, tmp_path / "plain", shard_bytes=1 << 19)
    index = tmp_path / "plain" / listing.INDEX
    named = json.loads(index.read_text())
    first, second = list(dict.fromkeys(named["weight_map"].values()))[:2]
    both = {**load_file(tmp_path / "plain" / first), **load_file(tmp_path / "plain" / second)}
    save_file(both, tmp_path / "plain" / second)
    with pytest.raises(BadModelFile, match=f"is in {first} and in {second}"):
        folder.read(tmp_path / "plain")
    for elsewhere in ("../k2/model.safetensors", "/etc/passwd", 7):
        named["weight_map"]["lm_head.weight"] = elsewhere
        index.write_text(json.dumps(named))
        with pytest.raises(BadModelFile, match="no file of the folder"):
            folder.read(tmp_path / "plain")


def test_shapes_of_64_bits_prefixed_names_and_a_next_token_layer_are_tolerated(
    edited: Callable[..., Path], whole: Path
) -> None:
    stored = load_file(whole / "model.safetensors")
    tensors: dict[str, Tensor | None] = dict.fromkeys(stored)
    for name, tensor in stored.items():
        tensors[f"language_model.{name}"] = tensor.long() if name.endswith("weight_shape") else tensor
    tensors["language_model.model.layers.3.eh_proj.weight"] = torch.zeros(2, 2)
    path = edited(tensors, num_nextn_predict_layers=1)
    ours, original = sources.open_parameters(path), sources.open_parameters(whole)
    assert torch.equal(ours.head().rows(slice(None)), original.head().rows(slice(None)))
    load(path)


def test_fp8_blocks_are_read(edited: Callable[..., Path], tmp_path: Path) -> None:
    weight = torch.randn(256, 96, generator=torch.Generator().manual_seed(1))
    values, scales = fp8_blocks.quantize(weight)
    settings = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}
    stem = QUERY.removesuffix(".weight")
    path = edited({QUERY: values, f"{stem}.weight_scale_inv": scales}, quantization_config=settings)
    layers = list(sources.open_parameters(path).layers())
    matrix = layers[1].attention.query_up  # type: ignore[union-attr]
    expected = values.float() * scales.repeat_interleave(128, 0)[:256].repeat_interleave(128, 1)[:, :96]
    assert matrix is not None
    assert matrix.format == "F8_E4M3"
    assert torch.equal(matrix.rows(slice(None)), expected)
    assert torch.equal(matrix.rows(torch.tensor([200, 3])), expected[[200, 3]])
    assert float((expected - weight).norm() / weight.norm()) < 0.04
    with pytest.raises(BadModelFile, match="weight_scale_inv"):
        load_without_scales(path, tmp_path / "bare", stem)
    assert any("weight_scale_inv" in fault for fault in verification.faults(tmp_path / "bare"))


def load_without_scales(path: Path, target: Path, stem: str) -> TorchDecoder:
    target.mkdir()
    stored = load_file(path / "model.safetensors")
    del stored[f"{stem}.weight_scale_inv"]
    save_file(stored, target / "model.safetensors")
    (target / "config.json").write_text((path / "config.json").read_text())
    return load(target)
