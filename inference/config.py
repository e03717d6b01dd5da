"""A model's hyper-parameters, every one of them read from its file. Torch-free.

Who reads them: `checkpoints.gguf_config` and `checkpoints.hub_config`.
"""

import math
from dataclasses import dataclass


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

    Layers before `first_layer` are dense, and of the others those whose number `layer_step` does not divide.
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
        return layer >= self.first_layer and layer % self.layer_step == 0


@dataclass(frozen=True, kw_only=True)
class Yarn:
    """YaRN's stretching of rotary positions (arXiv 2309.00071), as DeepSeek applies it.

    A model that names no mscale has mscale 1 and mscale_all_dim 0; `attention_factor` overrules what follows
    from them for the rotations. `truncates` rounds the blend's borders to whole dimensions.
    """

    factor: float
    original_max_positions: int
    beta_fast: float
    beta_slow: float
    mscale: float
    mscale_all_dim: float
    attention_factor: float | None = None
    truncates: bool = True

    def magnitude(self, mscale: float) -> float:
        """What attention is scaled by for this mscale: 0.1 * mscale * ln(factor) + 1."""
        return 0.1 * mscale * math.log(self.factor) + 1.0 if self.factor > 1 else 1.0

    @property
    def rotation_magnitude(self) -> float:
        """What sines and cosines are multiplied by; 1 for every Kimi model."""
        if self.attention_factor is not None:
            return self.attention_factor
        return self.magnitude(self.mscale) / self.magnitude(self.mscale_all_dim)


@dataclass(frozen=True, kw_only=True)
class Llama3Stretch:
    """Llama 3.1's stretching: slow rotary frequencies are divided by `factor`, fast ones stay as they are."""

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_max_positions: int


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder: the Llama family (Llama, Qwen2, Qwen3) or DeepSeek-V3's (Kimi K2, Moonlight).

    `rope_is_interleaved` says how the file pairs the dimensions that rotate together: neighbours (0,1), (2,3)
    … or halves (0, d/2), (1, d/2+1) …. With `latent`, head_dim, num_kv_heads and has_qk_norm say nothing.
    Positions are divided by `rope_scale`; `yarn` or `llama3` change the frequencies instead.
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
    has_qkv_bias: bool = False
    ties_embeddings: bool = False
    yarn: Yarn | None = None
    llama3: Llama3Stretch | None = None
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
