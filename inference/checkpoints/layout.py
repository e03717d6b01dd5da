"""The tensors that a checkpoint of a given configuration holds: names, shapes and what each is for.

Names are those of the hub's Llama, Qwen and DeepSeek-V3 checkpoints; a weight is [out, in].
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inference.config import Experts, LatentAttention, ModelConfig

Role = Literal["embedding", "head", "norm", "attention", "router", "mlp", "shared expert", "expert"]


@dataclass(frozen=True)
class Expected:
    """One parameter: `name` without the `.weight` that a quantised matrix replaces by several tensors, whole
    for a vector. `expert` and `layer` are None where it belongs to none.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    layer: int | None = None
    expert: int | None = None

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) == 2

    @property
    def num_values(self) -> int:
        return math.prod(self.shape)


def tensors(config: ModelConfig) -> Iterator[Expected]:
    """Every parameter, from the embedding to the head."""
    yield Expected("model.embed_tokens", (config.vocab_size, config.hidden_size), "embedding")
    for layer in range(config.num_layers):
        yield from layer_tensors(config, layer)
    yield Expected("model.norm.weight", (config.hidden_size,), "norm")
    if not config.ties_embeddings:
        yield Expected("lm_head", (config.vocab_size, config.hidden_size), "head")


def layer_tensors(config: ModelConfig, layer: int) -> Iterator[Expected]:
    """One layer's parameters."""
    prefix = f"model.layers.{layer}"
    yield Expected(f"{prefix}.input_layernorm.weight", (config.hidden_size,), "norm", layer)
    if config.latent is not None:
        yield from _latent_attention(config, config.latent, f"{prefix}.self_attn", layer)
    else:
        yield from _grouped_attention(config, f"{prefix}.self_attn", layer)
    yield Expected(f"{prefix}.post_attention_layernorm.weight", (config.hidden_size,), "norm", layer)
    if config.experts is not None and config.experts.has(layer):
        yield from _mixture(config, config.experts, f"{prefix}.mlp", layer)
    else:
        yield from _mlp(f"{prefix}.mlp", config.hidden_size, config.intermediate_size, "mlp", layer)


def _grouped_attention(config: ModelConfig, prefix: str, layer: int) -> Iterator[Expected]:
    query_size = config.num_heads * config.head_dim
    sizes = {"q_proj": query_size, "k_proj": config.kv_size, "v_proj": config.kv_size}
    for name, size in sizes.items():
        yield Expected(f"{prefix}.{name}", (size, config.hidden_size), "attention", layer)
        if config.has_qkv_bias:
            yield Expected(f"{prefix}.{name}.bias", (size,), "attention", layer)
    if config.has_qk_norm:
        for name in ("q_norm", "k_norm"):
            yield Expected(f"{prefix}.{name}.weight", (config.head_dim,), "norm", layer)
    yield Expected(f"{prefix}.o_proj", (config.hidden_size, query_size), "attention", layer)


def _latent_attention(
    config: ModelConfig, latent: LatentAttention, prefix: str, layer: int
) -> Iterator[Expected]:
    query_size, rank = config.num_heads * latent.qk_head_dim, latent.q_lora_rank
    made_size = config.num_heads * (latent.qk_nope_head_dim + latent.v_head_dim)
    if rank is None:
        yield Expected(f"{prefix}.q_proj", (query_size, config.hidden_size), "attention", layer)
    else:
        yield Expected(f"{prefix}.q_a_proj", (rank, config.hidden_size), "attention", layer)
        yield Expected(f"{prefix}.q_a_layernorm.weight", (rank,), "norm", layer)
        yield Expected(f"{prefix}.q_b_proj", (query_size, rank), "attention", layer)
    down = (latent.cache_width, config.hidden_size)
    yield Expected(f"{prefix}.kv_a_proj_with_mqa", down, "attention", layer)
    yield Expected(f"{prefix}.kv_a_layernorm.weight", (latent.kv_lora_rank,), "norm", layer)
    yield Expected(f"{prefix}.kv_b_proj", (made_size, latent.kv_lora_rank), "attention", layer)
    output = (config.hidden_size, config.num_heads * latent.v_head_dim)
    yield Expected(f"{prefix}.o_proj", output, "attention", layer)


def _mixture(config: ModelConfig, experts: Experts, prefix: str, layer: int) -> Iterator[Expected]:
    width = config.hidden_size
    yield Expected(f"{prefix}.gate", (experts.num_experts, width), "router", layer)
    yield Expected(f"{prefix}.gate.e_score_correction_bias", (experts.num_experts,), "router", layer)
    if experts.shared_size:
        yield from _mlp(f"{prefix}.shared_experts", width, experts.shared_size, "shared expert", layer)
    for expert in range(experts.num_experts):
        name = f"{prefix}.experts.{expert}"
        yield from _mlp(name, width, experts.expert_size, "expert", layer, expert=expert)


def _mlp(
    prefix: str, width: int, inner: int, role: Role, layer: int, *, expert: int | None = None
) -> Iterator[Expected]:
    yield Expected(f"{prefix}.gate_proj", (inner, width), role, layer, expert)
    yield Expected(f"{prefix}.up_proj", (inner, width), role, layer, expert)
    yield Expected(f"{prefix}.down_proj", (width, inner), role, layer, expert)
