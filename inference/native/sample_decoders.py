"""Decoders of random weights in every architecture, small enough to prove the step with in a moment."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inference import config
from inference.config import ModelConfig
from inference.kernels import reference
from inference.kernels.gguf_blocks import AffineBlocks
from inference.model import parameters
from inference.model.parameters import GroupedQueryAttention, LatentAttention, Layer, MixtureMlp, Mlp

VOCAB_SIZE = 320

_DENSE = ModelConfig(
    architecture="llama",
    name="random",
    vocab_size=VOCAB_SIZE,
    hidden_size=128,
    intermediate_size=192,
    num_layers=3,
    num_heads=6,
    num_kv_heads=2,
    head_dim=32,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    rope_scale=1.0,
    rope_is_interleaved=True,
    max_context_tokens=262144,
)
_EXPERTS = config.Experts(
    num_experts=8,
    num_per_token=3,
    expert_size=64,
    shared_size=96,
    first_layer=1,
    layer_step=1,
    normalizes_weights=True,
    scaling_factor=2.5,
)
_LATENT = config.LatentAttention(
    q_lora_rank=None, kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32
)
_YARN = config.Yarn(
    factor=64.0,
    original_max_positions=4096,
    beta_fast=32.0,
    beta_slow=1.0,
    mscale=1.0,
    mscale_all_dim=1.0,
)
# Llama, Qwen2 and Qwen3; Moonlight; Kimi K2, with groups of experts beside.
CONFIGS = {
    "llama": _DENSE,
    "qwen2": replace(_DENSE, architecture="qwen2", has_qkv_bias=True),
    "qwen3": replace(_DENSE, architecture="qwen3", has_qk_norm=True),
    "moonlight": replace(_DENSE, architecture="deepseek_v3", latent=_LATENT, experts=_EXPERTS),
    "kimi_k2": replace(
        _DENSE,
        architecture="kimi_k2",
        num_heads=20,
        latent=replace(_LATENT, q_lora_rank=96),
        yarn=_YARN,
        experts=replace(_EXPERTS, num_groups=4, num_groups_chosen=2),
    ),
}


@dataclass(frozen=True)
class RandomMatrix:
    """A StoredMatrix. Weights [num_rows, num_columns] have the variance 1 / num_columns."""

    format: str
    values: Tensor

    @property
    def num_rows(self) -> int:
        return self.values.shape[0]

    @property
    def num_columns(self) -> int:
        return self.values.shape[1]

    @property
    def is_affine(self) -> bool:
        return self.format == "INT4_G32"

    def rows(self, indices: Tensor | slice) -> Tensor:
        return reference.dequantize(self.blocks(indices)) if self.is_affine else self.values[indices]

    def blocks(self, indices: Tensor | slice) -> AffineBlocks:
        chosen = self.values[indices]
        values = chosen.view(chosen.shape[0], -1, 32)
        scales = (values.abs().amax(2) / 7).bfloat16().float()
        nibbles = (values / scales.unsqueeze(2)).round().clamp(-8, 7) + 8
        return AffineBlocks(nibbles.flatten(1).to(torch.uint8), scales, -8 * scales, 32)


class RandomParameters:
    """`Parameters` of an architecture in CONFIGS; `format` is that of all matrices but embedding and router.

    A token in `poisoned` has an embedding that is not a number.
    """

    def __init__(self, architecture: str, *, format: str = "F32", poisoned: tuple[int, ...] = ()) -> None:
        self.config = CONFIGS[architecture]
        self.num_bytes = 0
        self._format = format
        self._poisoned = poisoned

    def _generator(self, place: int) -> torch.Generator:
        return torch.Generator().manual_seed(place)

    def embedding(self) -> RandomMatrix:
        rows = torch.randn(VOCAB_SIZE, self.config.hidden_size, generator=self._generator(1000))
        rows[list(self._poisoned)] = float("nan")
        return RandomMatrix("F32", rows)

    def head(self) -> RandomMatrix:
        return self._matrix(self._generator(1001), VOCAB_SIZE, self.config.hidden_size)

    def norm(self) -> Tensor:
        return _vector(self._generator(1002), self.config.hidden_size)

    def rope_frequency_factors(self) -> Tensor | None:
        return None

    def layers(self) -> Iterator[Layer]:
        config, hidden_size = self.config, self.config.hidden_size
        for layer in range(config.num_layers):
            generator = self._generator(layer)
            has_experts = config.experts is not None and config.experts.has(layer)
            yield Layer(
                attention_norm=_vector(generator, hidden_size),
                attention=self._latent(generator) if config.latent else self._grouped(generator),
                mlp_norm=_vector(generator, hidden_size),
                mlp=self._mixture(generator)
                if has_experts
                else self._mlp(generator, config.intermediate_size),
            )

    def _grouped(self, generator: torch.Generator) -> GroupedQueryAttention:
        config = self.config
        query_size, kv_size, hidden_size = (
            config.num_heads * config.head_dim,
            config.kv_size,
            config.hidden_size,
        )
        optional: dict[str, Any] = {}
        if config.has_qkv_bias:
            optional["bias"] = torch.randn(query_size + 2 * kv_size, generator=generator) / 4
        if config.has_qk_norm:
            optional["query_norm"] = _vector(generator, config.head_dim)
            optional["key_norm"] = _vector(generator, config.head_dim)
        return GroupedQueryAttention(
            query=self._matrix(generator, query_size, hidden_size),
            key=self._matrix(generator, kv_size, hidden_size),
            value=self._matrix(generator, kv_size, hidden_size),
            output=self._matrix(generator, hidden_size, query_size),
            **optional,
        )

    def _latent(self, generator: torch.Generator) -> LatentAttention:
        sizes, heads, hidden_size = self.config.latent, self.config.num_heads, self.config.hidden_size
        assert sizes is not None
        query: dict[str, Any] = {}
        if sizes.q_lora_rank is None:
            query["query"] = self._matrix(generator, heads * sizes.qk_head_dim, hidden_size)
        else:
            query["query_down"] = self._matrix(generator, sizes.q_lora_rank, hidden_size)
            query["query_norm"] = _vector(generator, sizes.q_lora_rank)
            query["query_up"] = self._matrix(generator, heads * sizes.qk_head_dim, sizes.q_lora_rank)
        up_rows = heads * (sizes.qk_nope_head_dim + sizes.v_head_dim)
        return LatentAttention(
            **query,
            kv_down=self._matrix(generator, sizes.cache_width, hidden_size),
            kv_norm=_vector(generator, sizes.kv_lora_rank),
            kv_up=self._matrix(generator, up_rows, sizes.kv_lora_rank),
            output=self._matrix(generator, hidden_size, heads * sizes.v_head_dim),
        )

    def _mixture(self, generator: torch.Generator) -> MixtureMlp:
        experts, hidden_size = self.config.experts, self.config.hidden_size
        assert experts is not None
        router = torch.randn(experts.num_experts, hidden_size, generator=generator) / 8
        return MixtureMlp(
            router=RandomMatrix("F32", router),
            choice_bias=torch.randn(experts.num_experts, generator=generator) / 4,
            experts=tuple(self._mlp(generator, experts.expert_size) for _ in range(experts.num_experts)),
            shared=self._mlp(generator, experts.shared_size),
        )

    def _mlp(self, generator: torch.Generator, size: int) -> Mlp:
        hidden_size = self.config.hidden_size
        return Mlp(
            gate=self._matrix(generator, size, hidden_size),
            up=self._matrix(generator, size, hidden_size),
            down=self._matrix(generator, hidden_size, size),
        )

    def _matrix(self, generator: torch.Generator, num_rows: int, num_columns: int) -> RandomMatrix:
        values = torch.randn(num_rows, num_columns, generator=generator) / num_columns**0.5
        return RandomMatrix(self._format, values)


def _vector(generator: torch.Generator, size: int) -> Tensor:
    return 1 + torch.randn(size, generator=generator) / 10


def _conforms(source: RandomParameters) -> parameters.Parameters:
    """For the type checker: a RandomParameters is a `Parameters`."""
    return source
