"""Random weights of real shapes, drawn on the device itself: speed does not mind what they are."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inference.config import Experts, LatentAttention, ModelConfig, Yarn
from inference.gpu.weights import Latent, Layer, Mixture, Mlp, Weights
from inference.kernels.gguf_blocks import AffineBlocks
from inference.kernels.gpu.experts import Int4Experts
from inference.model import rope

# Moonshot's published config.json of Kimi K2 Thinking, and of Moonlight 16B-A3B.
K2 = ModelConfig(
    architecture="kimi_k2",
    name="Kimi K2 Thinking",
    vocab_size=163840,
    hidden_size=7168,
    intermediate_size=18432,
    num_layers=61,
    num_heads=64,
    num_kv_heads=64,
    head_dim=192,
    rms_norm_eps=1e-5,
    rope_theta=50000.0,
    rope_scale=1.0,
    rope_is_interleaved=True,
    max_context_tokens=262144,
    latent=LatentAttention(
        q_lora_rank=1536, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
    ),
    yarn=Yarn(
        factor=64.0,
        original_max_positions=4096,
        beta_fast=1.0,
        beta_slow=1.0,
        mscale=1.0,
        mscale_all_dim=1.0,
    ),
    experts=Experts(
        num_experts=384,
        num_per_token=8,
        expert_size=2048,
        shared_size=2048,
        first_layer=1,
        layer_step=1,
        normalizes_weights=True,
        scaling_factor=2.827,
    ),
)
MOONLIGHT = replace(
    K2,
    architecture="deepseek_v3",
    name="Moonlight 16B-A3B",
    hidden_size=2048,
    intermediate_size=11264,
    num_layers=27,
    num_heads=16,
    num_kv_heads=16,
    max_context_tokens=8192,
    latent=LatentAttention(
        q_lora_rank=None, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
    ),
    yarn=None,
    experts=Experts(
        num_experts=64,
        num_per_token=6,
        expert_size=1408,
        shared_size=2816,
        first_layer=1,
        layer_step=1,
        normalizes_weights=True,
        scaling_factor=2.446,
    ),
)
# For a rehearsal of the whole bench in Triton's interpreter.
TINY = replace(
    MOONLIGHT,
    name="tiny",
    vocab_size=512,
    hidden_size=64,
    intermediate_size=96,
    num_layers=2,
    num_heads=4,
    num_kv_heads=4,
    latent=LatentAttention(
        q_lora_rank=None, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=16, v_head_dim=16
    ),
    experts=Experts(
        num_experts=6,
        num_per_token=2,
        expert_size=32,
        shared_size=32,
        first_layer=1,
        layer_step=1,
        normalizes_weights=True,
        scaling_factor=2.446,
    ),
)


@dataclass(frozen=True)
class Draw:
    """Draws what a layer needs, in the variance that keeps activations near 1."""

    device: torch.device
    generator: torch.Generator

    def normal(self, *shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        return torch.randn(*shape, device=self.device, dtype=dtype, generator=self.generator)

    def matrix(self, num_rows: int, num_columns: int) -> Tensor:
        return self.normal(num_rows, num_columns).mul_(num_columns**-0.5)

    def ones(self, size: int) -> Tensor:
        return torch.ones(size, device=self.device)

    def experts(self, num_experts: int, num_rows: int, num_columns: int) -> Int4Experts:
        words = torch.randint(
            -(2**31),
            2**31,
            (num_experts, num_rows, num_columns // 8),
            dtype=torch.int32,
            device=self.device,
            generator=self.generator,
        )
        scales = torch.full(
            (num_experts, num_rows, num_columns // 32),
            0.21 * num_columns**-0.5,  # nibbles of standard deviation 4.6
            dtype=torch.bfloat16,
            device=self.device,
        )
        return Int4Experts(words, scales)


def draw(device: torch.device, seed: int = 0) -> Draw:
    return Draw(device, torch.Generator(device=device).manual_seed(seed))


@dataclass(frozen=True)
class DrawnRows:
    """An embedding whose rows are drawn as they are asked for: a `parameters.StoredMatrix`."""

    num_rows: int
    num_columns: int

    format = "BF16"
    is_affine = False

    def rows(self, indices: Tensor | slice) -> Tensor:
        assert isinstance(indices, Tensor)
        return torch.randn(indices.shape[0], self.num_columns)

    def blocks(self, indices: Tensor | slice) -> AffineBlocks:
        raise TypeError("a matrix of floats has no blocks")


def weights(config: ModelConfig, drawn: Draw, *, num_layers: int | None = None) -> Weights:
    """A whole model, or as many of its layers with experts as are asked for."""
    config = config if num_layers is None else replace(config, num_layers=num_layers)
    has_dense = num_layers is None
    return Weights(
        config=config,
        embedding=DrawnRows(config.vocab_size, config.hidden_size),
        layers=[
            layer(config, drawn, has_experts=not has_dense or index > 0) for index in range(config.num_layers)
        ],
        norm=drawn.ones(config.hidden_size),
        head=drawn.matrix(config.vocab_size, config.hidden_size),
        frequencies=rope.frequencies(config, None).to(drawn.device),
    )


def layer(config: ModelConfig, drawn: Draw, *, has_experts: bool) -> Layer:
    """One layer of the config's shapes."""
    sizes, heads, hidden_size = config.latent, config.num_heads, config.hidden_size
    assert sizes is not None
    rank = sizes.q_lora_rank
    made = sizes.qk_nope_head_dim + sizes.v_head_dim
    attention = Latent(
        norm=drawn.ones(hidden_size),
        down=drawn.matrix((rank or 0) + sizes.cache_width, hidden_size),
        query_norm=None if rank is None else drawn.ones(rank),
        query_up=drawn.matrix(heads * sizes.qk_head_dim, rank or hidden_size),
        kv_norm=drawn.ones(sizes.kv_lora_rank),
        kv_up=drawn.matrix(heads * made, sizes.kv_lora_rank).view(heads, made, sizes.kv_lora_rank),
        output=drawn.matrix(hidden_size, heads * sizes.v_head_dim),
    )
    mlp = mixture(config, drawn) if has_experts else _mlp(config.intermediate_size, hidden_size, drawn)
    return Layer(attention, drawn.ones(hidden_size), mlp)


def mixture(config: ModelConfig, drawn: Draw) -> Mixture:
    """One layer's experts and their router."""
    experts, hidden_size = config.experts, config.hidden_size
    assert experts is not None
    return Mixture(
        router=drawn.matrix(experts.num_experts, hidden_size).float(),
        choice_bias=torch.zeros(experts.num_experts, device=drawn.device),
        gate_up=drawn.experts(experts.num_experts, 2 * experts.expert_size, hidden_size),
        down=drawn.experts(experts.num_experts, hidden_size, experts.expert_size),
        first=0,
        shared=_mlp(experts.shared_size, hidden_size, drawn),
    )


def _mlp(size: int, hidden_size: int, drawn: Draw) -> Mlp:
    return Mlp(drawn.matrix(2 * size, hidden_size), drawn.matrix(hidden_size, size))
