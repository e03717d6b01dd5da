"""Checkpoints of random weights, for tests and benches: Kimi K2's shape class, Moonlight's, dense ones.

The configurations are small versions of the published ones; every key can be overruled.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from inference.checkpoints import conversion, hub_config, layout, pack_quantized, weights
from inference.checkpoints.layout import Expected
from inference.checkpoints.writing import CheckpointWriter

Format = Literal["int4", "bf16"]
K2_YARN = {
    "type": "yarn",
    "factor": 64.0,
    "original_max_position_embeddings": 4096,
    "beta_fast": 1.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
_DENSE = {
    "hidden_act": "silu",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 512,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}


def k2_like(**overrides: Any) -> dict[str, Any]:
    """Kimi K2 Thinking's config.json with small numbers: a query latent, YaRN, one dense layer."""
    config = {
        **_DENSE,
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "kimi_k2",
        "attention_bias": False,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 64,
        "max_position_embeddings": 262144,
        "moe_intermediate_size": 64,
        "moe_layer_freq": 1,
        "n_group": 1,
        "n_routed_experts": 16,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "num_experts_per_tok": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 4,
        "num_nextn_predict_layers": 0,
        "q_lora_rank": 96,
        "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 32,
        "rms_norm_eps": 1e-5,
        "rope_scaling": K2_YARN,
        "rope_theta": 50000.0,
        "routed_scaling_factor": 2.827,
        "scoring_func": "sigmoid",
        "topk_group": 1,
        "topk_method": "noaux_tc",
        "v_head_dim": 32,
    }
    return {**config, **overrides}


def moonlight_like(**overrides: Any) -> dict[str, Any]:
    """Moonlight-16B-A3B's config.json with small numbers: no query latent, no YaRN, two shared experts."""
    config = k2_like(
        model_type="deepseek_v3",
        max_position_embeddings=8192,
        n_shared_experts=2,
        num_experts_per_tok=3,
        q_lora_rank=None,
        routed_scaling_factor=2.446,
    )
    del config["rope_scaling"]
    return {**config, **overrides}


def dense(model_type: str, **overrides: Any) -> dict[str, Any]:
    """A small Llama (`llama`), Qwen2 or Qwen3."""
    name = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}[model_type]
    config = {**_DENSE, "architectures": [name], "model_type": model_type}
    if model_type == "qwen3":
        config["head_dim"] = 96  # as in the published ones, not hidden_size // num_heads
    return {**config, **overrides}


def k2_for_bench() -> dict[str, Any]:
    """Kimi K2's shape class with 54 M parameters active for a token, head left out, of 283 M in all."""
    return k2_like(
        hidden_size=1024,
        intermediate_size=2048,
        kv_lora_rank=256,
        moe_intermediate_size=256,
        n_routed_experts=64,
        num_attention_heads=8,
        num_experts_per_tok=8,
        num_hidden_layers=6,
        num_key_value_heads=8,
        q_lora_rank=512,
        qk_nope_head_dim=64,
        v_head_dim=64,
        vocab_size=4096,
    )


def write(path: Path, config: dict[str, Any], *, stored: Format = "bf16", seed: int = 0) -> Path:
    """Write a folder; with `int4` the routed experts (of a dense model every layer's matrices) are drawn as
    packed INT4 straight, a hundred million weights a second.
    """
    generator = torch.Generator().manual_seed(seed)
    parsed = hub_config.read(config, name=path.name)
    ignore = conversion.K2_IGNORE if parsed.experts is not None else ("lm_head",)
    if stored == "int4":
        config = {**config, "quantization_config": conversion.quantization_config(ignore)}
    with CheckpointWriter(path, {**config, "torch_dtype": "bfloat16"}) as writer:
        for expected in layout.tensors(parsed):
            if stored == "int4" and conversion.can_quantize(expected, ignore):
                _add_packed(writer, expected, generator)
            else:
                name = expected.name + (weights.PLAIN if expected.is_matrix else "")
                writer.add(name, _drawn(expected, generator, is_tied=parsed.ties_embeddings))
    return path


def _drawn(expected: Expected, generator: torch.Generator, *, is_tied: bool) -> Tensor:
    """Sizes with which activations stay about as large from layer to layer, and logits near 1."""
    noise = torch.randn(expected.shape, generator=generator)
    if expected.is_matrix:
        is_input_only = expected.role == "embedding" and not is_tied
        return (noise if is_input_only else noise * expected.shape[1] ** -0.5).to(torch.bfloat16)
    if expected.role == "router":
        return noise * 0.05  # fp32, as Kimi K2 stores the bias of its choice
    centre = 1.0 if expected.role == "norm" else 0.0
    return (centre + 0.1 * noise).to(torch.bfloat16)


def _add_packed(writer: CheckpointWriter, expected: Expected, generator: torch.Generator) -> None:
    """Values from -7 to 7, as training for INT4 leaves them, under scales of one bf16 binade."""
    num_rows, num_columns = expected.shape
    words = torch.empty(num_rows, num_columns // 16, dtype=torch.int64)
    nibbles = words.random_(-(2**63), None, generator=generator).view(torch.uint8)
    # A nibble of 0 would be -8; with 8 in its place it is 0.
    packed = nibbles | ((nibbles & 15 == 0).to(torch.uint8) << 3) | ((nibbles >> 4 == 0).to(torch.uint8) << 7)
    spread = num_columns**-0.5 / 4.18  # 4.18: the standard deviation of those values
    groups = (num_rows, num_columns // pack_quantized.GROUP_SIZE)
    scales = spread * (0.655 + 0.655 * torch.rand(groups, generator=generator))
    writer.add(expected.name + weights.PACKED, packed.view(torch.int32))
    writer.add(expected.name + weights.PACKED_SCALE, scales.to(torch.bfloat16))
    writer.add(expected.name + weights.PACKED_SHAPE, torch.tensor(expected.shape, dtype=torch.int32))
