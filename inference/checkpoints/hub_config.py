"""A checkpoint's config.json, as published on a hub, as the model's hyper-parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.checkpoints import BadModelFile, header
from inference.checkpoints.header import Fields
from inference.config import Experts, LatentAttention, Llama3Stretch, ModelConfig, Yarn

LATENT_TYPES = ("deepseek_v3", "kimi_k2")
DENSE_TYPES = ("llama", "qwen2", "qwen3")


def read(raw: Mapping[str, Any], *, name: str) -> ModelConfig:
    """Raises BadModelFile for an architecture this engine does not run, a missing field, one of another kind,
    or one that asks for something else than the architectures here do.
    """
    text = Fields(raw["text_config"] if isinstance(raw.get("text_config"), dict) else raw, "config.json")
    kind = text.optional("model_type", "")
    if kind not in LATENT_TYPES + DENSE_TYPES:
        known = ", ".join(DENSE_TYPES + LATENT_TYPES)
        raise BadModelFile(
            f"{name} has model_type {kind!r}; this engine runs {known}: take a checkpoint of one of those"
        )
    text.expect("hidden_act", "silu")
    return header.require_sense(_config(text, kind, name))


def _config(fields: Fields, kind: str, name: str) -> ModelConfig:
    rope = _Rope.of(fields)
    is_latent = kind in LATENT_TYPES
    num_heads = fields.whole("num_attention_heads")
    hidden_size = fields.whole("hidden_size")
    return ModelConfig(
        architecture=kind,
        name=name,
        vocab_size=fields.whole("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=fields.whole("intermediate_size"),
        num_layers=fields.whole("num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=fields.whole("num_key_value_heads", num_heads),
        head_dim=fields.whole("head_dim", hidden_size // num_heads),
        rms_norm_eps=fields.number("rms_norm_eps"),
        rope_theta=rope.theta,
        rope_scale=rope.scale,
        rope_is_interleaved=is_latent and fields.flag("rope_interleave", True),
        max_context_tokens=rope.max_positions,
        has_qk_norm=kind == "qwen3",
        has_qkv_bias=_has_qkv_bias(fields, kind),
        ties_embeddings=fields.flag("tie_word_embeddings", False),
        yarn=rope.yarn,
        llama3=rope.llama3,
        latent=_latent(fields) if is_latent else None,
        experts=_experts(fields) if is_latent else None,
    )


def _has_qkv_bias(fields: Fields, kind: str) -> bool:
    """Qwen2 has biases and no key for them; in the others they would bring one of the output as well."""
    fields.expect("use_sliding_window", False)
    if kind == "qwen2":
        return True
    fields.expect("attention_bias", False)
    fields.expect("mlp_bias", False)
    return False


def _latent(fields: Fields) -> LatentAttention:
    return LatentAttention(
        q_lora_rank=None if fields.raw.get("q_lora_rank") is None else fields.whole("q_lora_rank"),
        kv_lora_rank=fields.whole("kv_lora_rank"),
        qk_nope_head_dim=fields.whole("qk_nope_head_dim"),
        qk_rope_head_dim=fields.whole("qk_rope_head_dim"),
        v_head_dim=fields.whole("v_head_dim"),
    )


def _experts(fields: Fields) -> Experts | None:
    """What an absent key would stand for differs from reader to reader: those that choose must be there."""
    if not fields.optional("n_routed_experts", 0):
        return None
    fields.expect("scoring_func", "sigmoid")
    fields.expect("topk_method", "noaux_tc")
    expert_size = fields.whole("moe_intermediate_size")
    return Experts(
        num_experts=fields.whole("n_routed_experts"),
        num_per_token=fields.whole("num_experts_per_tok"),
        expert_size=expert_size,
        shared_size=expert_size * fields.whole("n_shared_experts", 0, least=0),
        first_layer=fields.whole("first_k_dense_replace", least=0),
        layer_step=fields.whole("moe_layer_freq", 1),
        normalizes_weights=fields.flag("norm_topk_prob"),
        scaling_factor=fields.number("routed_scaling_factor"),
        num_groups=fields.whole("n_group"),
        num_groups_chosen=fields.whole("topk_group"),
    )


@dataclass(frozen=True, kw_only=True)
class _Rope:
    """The rotary keys, in the older spelling (rope_theta, rope_scaling) or the newer (rope_parameters)."""

    theta: float
    max_positions: int
    scale: float = 1.0
    yarn: Yarn | None = None
    llama3: Llama3Stretch | None = None

    @classmethod
    def of(cls, fields: Fields) -> "_Rope":
        raw = {**fields.table("rope_scaling"), **fields.table("rope_parameters")}
        rope = Fields(raw, "config.json's rotary part")
        rope.expect("partial_rotary_factor", 1.0)
        theta = rope.number("rope_theta", fields.number("rope_theta", 10000.0))
        positions = fields.whole("max_position_embeddings")
        kind = rope.optional("rope_type", rope.optional("type", "default"))
        if kind == "default":
            return cls(theta=theta, max_positions=positions)
        if kind == "linear":
            return cls(theta=theta, max_positions=positions, scale=rope.number("factor"))
        if kind == "llama3":
            return cls(theta=theta, max_positions=positions, llama3=_llama3(rope))
        if kind == "yarn":
            yarn = _yarn(rope, max_positions=positions)
            stretched = int(yarn.factor * yarn.original_max_positions)
            return cls(theta=theta, max_positions=max(positions, stretched), yarn=yarn)
        raise BadModelFile(
            f"config.json has rope scaling {kind!r}; this engine knows linear, llama3 and yarn"
        )


def _llama3(rope: Fields) -> Llama3Stretch:
    return Llama3Stretch(
        factor=rope.number("factor"),
        low_frequency_factor=rope.number("low_freq_factor"),
        high_frequency_factor=rope.number("high_freq_factor"),
        original_max_positions=rope.whole("original_max_position_embeddings"),
    )


def _yarn(rope: Fields, *, max_positions: int) -> Yarn:
    """Absent betas are 32 and 1, the paper's. Sines and cosines are magnified as transformers does it: by the
    quotient of both mscales, or by the plain stretch's own when either is missing.
    """
    original = rope.whole("original_max_position_embeddings")
    factor = rope.number("factor", max_positions / original)
    mscale, mscale_all_dim = rope.number("mscale", 0.0), rope.number("mscale_all_dim", 0.0)
    attention_factor = None
    if rope.optional("attention_factor", None) is not None:
        attention_factor = rope.number("attention_factor")
    elif not (mscale and mscale_all_dim):
        attention_factor = 0.1 * math.log(factor) + 1 if factor > 1 else 1.0
    return Yarn(
        factor=factor,
        original_max_positions=original,
        beta_fast=rope.number("beta_fast", 32.0),
        beta_slow=rope.number("beta_slow", 1.0),
        mscale=mscale or 1.0,
        mscale_all_dim=mscale_all_dim,
        attention_factor=attention_factor,
        truncates=rope.flag("truncate", True),
    )
