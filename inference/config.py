"""A model's hyper-parameters, every one of them read from its file. Torch-free."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.checkpoints.gguf_file import BadModelFile, GGUFFile

SUPPORTED_ARCHITECTURES = ("llama", "qwen2")


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2): keys and values are made from one narrow latent.

    `q_lora_rank` None: queries come from one projection. A head has qk_nope_head_dim + qk_rope_head_dim query
    dimensions and v_head_dim value dimensions. `norm_eps` is that of the norms inside (1e-6 whatever the
    model's own).
    """

    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    norm_eps: float = 1e-6

    @property
    def qk_head_dim(self) -> int:
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def cache_width(self) -> int:
        """Values that one token leaves in the cache of one layer."""
        return self.kv_lora_rank + self.qk_rope_head_dim


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A mixture of experts with DeepSeek-V3's router: sigmoid scores, a bias that only chooses, groups.

    Layers before `first_layer` are dense, and of those after it all but every `layer_step`-th.
    `shared_size` is the width of the shared experts taken together, 0 where there are none.
    """

    num_experts: int
    num_per_token: int
    expert_size: int
    shared_size: int
    first_layer: int
    layer_step: int
    normalizes_weights: bool
    scaling_factor: float
    num_groups: int = 1
    num_groups_chosen: int = 1

    def has(self, layer: int) -> bool:
        """Whether a layer's MLP is a mixture."""
        return layer >= self.first_layer and (layer - self.first_layer) % self.layer_step == 0


@dataclass(frozen=True, kw_only=True)
class Yarn:
    """YaRN's stretching of rotary positions (arXiv 2309.00071), as DeepSeek applies it."""

    factor: float
    original_max_positions: int
    beta_fast: float
    beta_slow: float
    mscale: float
    mscale_all_dim: float

    def magnitude(self, mscale: float) -> float:
        """What attention is scaled by for this mscale: 0.1 * mscale * ln(factor) + 1."""
        return 0.1 * mscale * math.log(self.factor) + 1.0 if self.factor > 1 else 1.0


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder: the Llama family (Llama, Qwen2, Qwen3) or DeepSeek-V3's (Kimi K2, Moonlight).

    `rope_is_interleaved` says how the file pairs the dimensions that rotate together: neighbours (0,1), (2,3)
    … or halves (0, d/2), (1, d/2+1) …. With `latent`, head_dim, num_kv_heads and has_qk_norm say nothing.
    """

    architecture: str
    name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    rope_scale: float
    rope_is_interleaved: bool
    max_context_tokens: int
    has_qk_norm: bool = False
    yarn: Yarn | None = None
    latent: LatentAttention | None = None
    experts: Experts | None = None

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_dim

    @property
    def rope_dim(self) -> int:
        """Dimensions of a head that rotate."""
        return self.latent.qk_rope_head_dim if self.latent else self.head_dim

    @property
    def softmax_scale(self) -> float:
        """What queries times keys are multiplied by before the softmax."""
        if self.latent is None:
            return 1 / math.sqrt(self.head_dim)
        magnitude = self.yarn.magnitude(self.yarn.mscale_all_dim) if self.yarn else 1.0
        return magnitude**2 / math.sqrt(self.latent.qk_head_dim)

    @property
    def cache_values_per_token(self) -> int:
        """Cached values of all layers that one token leaves behind."""
        return self.num_layers * (self.latent.cache_width if self.latent else 2 * self.kv_size)


def from_gguf(file: GGUFFile) -> ModelConfig:
    """Raises BadModelFile for an architecture this engine does not run or a missing field."""
    metadata = file.metadata
    architecture = metadata.get("general.architecture", "")
    if architecture not in SUPPORTED_ARCHITECTURES:
        known = ", ".join(SUPPORTED_ARCHITECTURES)
        raise BadModelFile(f"{file.path.name} has architecture {architecture!r}; this engine runs {known}")
    fields = _Fields(metadata, architecture)
    hidden_size = fields.required("embedding_length")
    num_heads = fields.required("attention.head_count")
    return ModelConfig(
        architecture=architecture,
        name=metadata.get("general.name", file.path.stem),
        vocab_size=file.tensors["token_embd.weight"].shape[0],
        hidden_size=hidden_size,
        intermediate_size=fields.required("feed_forward_length"),
        num_layers=fields.required("block_count"),
        num_heads=num_heads,
        num_kv_heads=fields.optional("attention.head_count_kv", num_heads),
        head_dim=fields.optional("attention.key_length", hidden_size // num_heads),
        rms_norm_eps=fields.required("attention.layer_norm_rms_epsilon"),
        rope_theta=fields.optional("rope.freq_base", 10000.0),
        rope_scale=_rope_scale(fields),
        rope_is_interleaved=architecture == "llama",
        max_context_tokens=fields.required("context_length"),
    )


@dataclass(frozen=True)
class _Fields:
    metadata: Mapping[str, Any]
    architecture: str

    def required(self, name: str) -> Any:
        key = f"{self.architecture}.{name}"
        if key not in self.metadata:
            raise BadModelFile(f"the model file lacks the field {key}")
        return self.metadata[key]

    def optional(self, name: str, default: Any) -> Any:
        return self.metadata.get(f"{self.architecture}.{name}", default)


def _rope_scale(fields: _Fields) -> float:
    """What positions are divided by. Raises BadModelFile for a scaling other than linear."""
    kind = fields.optional("rope.scaling.type", "none")
    if kind == "none":
        return 1.0
    if kind == "linear":
        return float(fields.required("rope.scaling.factor"))
    raise BadModelFile(f"rope scaling {kind!r} is not supported; linear scaling is")
