"""A model's parameters packed for the native step: every matrix in tiles, every pointer kept alive."""

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar, cast

import torch
from torch import Tensor

from inference.config import ModelConfig
from inference.kernels.gguf_blocks import AffineBlocks
from inference.model import parameters, rope
from inference.model.parameters import Layer, MixtureMlp, Mlp, Parameters, StoredMatrix
from inference.native import library, matrix, step
from inference.native.matrix import Kind, PackedMatrix

Struct = TypeVar("Struct", bound=ctypes.Structure)
Kept = TypeVar("Kept")
_CONTAINERS = (Layer, parameters.GroupedQueryAttention, parameters.LatentAttention, Mlp, MixtureMlp)


class UnsupportedModel(Exception):
    """The native step does not take a model of these dimensions; torch's decoder does."""


def check(config: ModelConfig) -> None:
    """Raises UnsupportedModel for what the vector loops cannot be fed."""
    widths = {"hidden_size": config.hidden_size, "intermediate_size": config.intermediate_size}
    if config.latent is None:
        widths["head_dim"] = config.head_dim
    else:
        widths["kv_lora_rank"] = config.latent.kv_lora_rank
        widths["q_lora_rank"] = config.latent.q_lora_rank or 16
    if config.experts is not None:
        widths["expert_size"] = config.experts.expert_size
        widths["shared_size"] = config.experts.shared_size
    odd = [f"{name} {width}" for name, width in widths.items() if width % 16]
    if odd:
        raise UnsupportedModel(f"the native step needs multiples of 16, not {', '.join(odd)}")


def packed_bytes(source: Parameters) -> int:
    """About what a model's matrices take once they are packed: twice their file where that has F16 or FP8."""
    parts = [source.head(), *(part for layer in source.layers() for part in _matrices(layer))]
    return sum(matrix.packed_bytes(part) for part in parts)


def _matrices(part: object) -> Iterator[StoredMatrix]:
    """All that a layer is made of, but its vectors."""
    if isinstance(part, tuple):
        for one in part:
            yield from _matrices(one)
    elif isinstance(part, _CONTAINERS):
        for field in fields(part):
            yield from _matrices(getattr(part, field.name))
    elif part is not None and not isinstance(part, Tensor):
        yield cast(StoredMatrix, part)


@dataclass(frozen=True)
class _DenseMatrix:
    """A StoredMatrix of numbers made here: bf16 where that loses nothing."""

    values: Tensor

    @property
    def format(self) -> str:
        return "BF16" if torch.equal(self.values.bfloat16().float(), self.values) else "F32"

    @property
    def num_rows(self) -> int:
        return self.values.shape[0]

    @property
    def num_columns(self) -> int:
        return self.values.shape[1]

    @property
    def is_affine(self) -> bool:
        return False

    def rows(self, indices: Tensor | slice) -> Tensor:
        return self.values[indices].float()

    def blocks(self, indices: Tensor | slice) -> AffineBlocks:
        raise AssertionError("floats have no blocks")


class PackedWeights:
    """`struct` describes the model to the step, and points into memory that this object keeps.

    `on_progress` hears the share done, 0 to 1. Raises UnsupportedModel, BadModelFile, build.BuildFailed.
    """

    def __init__(self, source: Parameters, *, on_progress: Callable[[float], None]) -> None:
        self.config = source.config
        check(self.config)
        self._kept: list[object] = []
        self._weights_of: dict[Kind, int] = dict.fromkeys(Kind, 0)
        layers = []
        for layer in source.layers():
            layers.append(self._layer(layer))
            on_progress(0.9 * len(layers) / self.config.num_layers)
        self.struct = self._describe(source, layers)
        on_progress(1.0)

    @property
    def main_kind(self) -> str:
        """What most of the weights are: int4, q4k, q6k, int8, bf16 or fp32."""
        kind = max(self._weights_of, key=lambda kind: self._weights_of[kind])
        return "int4" if kind in (Kind.INT4, Kind.INT4S) else kind.name.lower()

    @property
    def num_bytes(self) -> int:
        """What the packed matrices take."""
        return sum(part.num_bytes for part in self._kept if isinstance(part, PackedMatrix))

    def _describe(self, source: Parameters, layers: Sequence[step.LayerWeights]) -> step.Weights:
        config, latent, experts = self.config, self.config.latent, self.config.experts
        frequencies = rope.frequencies(config, source.rope_frequency_factors()).contiguous()
        weights = step.Weights(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            mlp_size=max(config.intermediate_size, experts.shared_size if experts else 0),
            norm_eps=config.rms_norm_eps,
            softmax_scale=config.softmax_scale,
            rotary_magnitude=rope.magnitude(config),
            frequencies=self._keep(frequencies).data_ptr(),
            layers=self._array(step.LayerWeights, layers),
            norm=self._vector(source.norm()),
            head=self._projection([source.head()]),
        )
        if latent is None:
            weights.num_kv_heads, weights.head_dim = config.num_kv_heads, config.head_dim
            weights.inner_norm_eps = config.rms_norm_eps
        else:
            weights.query_rank, weights.kv_rank = latent.q_lora_rank or 0, latent.kv_lora_rank
            weights.nope_dim, weights.rope_dim = latent.qk_nope_head_dim, latent.qk_rope_head_dim
            weights.value_dim, weights.inner_norm_eps = latent.v_head_dim, latent.norm_eps
        if experts is not None:
            weights.expert_size = experts.expert_size
            weights.routing = step.Routing(
                experts.num_experts,
                experts.num_per_token,
                experts.num_groups,
                experts.num_groups_chosen,
                experts.normalizes_weights,
                experts.scaling_factor,
            )
        return weights

    def _layer(self, layer: Layer) -> step.LayerWeights:
        weights = step.LayerWeights(
            attention_norm=self._vector(layer.attention_norm),
            mlp_norm=self._vector(layer.mlp_norm),
            output=self._projection([layer.attention.output]),
        )
        if isinstance(layer.attention, parameters.LatentAttention):
            self._add_latent(layer.attention, weights)
        else:
            self._add_grouped(layer.attention, weights)
        if isinstance(layer.mlp, MixtureMlp):
            self._add_mixture(layer.mlp, weights)
        else:
            weights.mlp = self._mlp(layer.mlp)
        return weights

    def _add_grouped(self, attention: parameters.GroupedQueryAttention, weights: step.LayerWeights) -> None:
        weights.input = self._projection([attention.query, attention.key, attention.value])
        weights.bias = self._vector(attention.bias)
        weights.query_norm = self._vector(attention.query_norm)
        weights.key_norm = self._vector(attention.key_norm)

    def _add_latent(self, attention: parameters.LatentAttention, weights: step.LayerWeights) -> None:
        first = attention.query or attention.query_down
        assert first is not None
        weights.input = self._projection([first, attention.kv_down])
        weights.key_norm = self._vector(attention.kv_norm)
        if attention.query_up is not None:
            weights.query_norm = self._vector(attention.query_norm)
            weights.query_up = self._projection([attention.query_up])
        assert self.config.latent is not None
        nope = self.config.latent.qk_nope_head_dim
        kv_up = attention.kv_up.rows(slice(None))
        by_head = kv_up.view(self.config.num_heads, -1, kv_up.shape[1])
        key_up = [self._pack([_DenseMatrix(head[:nope].T.contiguous())]) for head in by_head]
        value_up = [self._pack([_DenseMatrix(head[nope:].contiguous())]) for head in by_head]
        weights.key_up = self._array(library.Matrix, (part.struct for packed in key_up for part in packed))
        weights.value_up = self._array(
            library.Matrix, (part.struct for packed in value_up for part in packed)
        )

    def _add_mixture(self, mixture: MixtureMlp, weights: step.LayerWeights) -> None:
        weights.router = self._projection([mixture.router])
        weights.choice_bias = self._vector(mixture.choice_bias)
        weights.experts = self._array(step.MlpWeights, (self._mlp(expert) for expert in mixture.experts))
        if mixture.shared is not None:
            weights.mlp = self._mlp(mixture.shared)

    def _mlp(self, mlp: Mlp) -> step.MlpWeights:
        return step.MlpWeights(
            self._projection([mlp.gate, mlp.up]), self._projection([mlp.down]), mlp.gate.num_rows
        )

    def _projection(self, parts: Sequence[StoredMatrix]) -> step.Projection:
        packed = self._pack(parts)
        return step.Projection(self._array(library.Matrix, (part.struct for part in packed)), len(packed))

    def _pack(self, parts: Sequence[StoredMatrix]) -> list[PackedMatrix]:
        packed = matrix.pack_all(parts)
        for part in packed:
            self._keep(part)
            self._weights_of[part.kind] += part.num_rows * part.num_columns
        return packed

    def _vector(self, values: Tensor | None) -> int | None:
        return None if values is None else self._keep(values.float().contiguous()).data_ptr()

    def _array(self, kind: type[Struct], items: Iterable[Struct]) -> ctypes.Array[Struct]:
        items = list(items)
        return self._keep((kind * len(items))(*items))

    def _keep(self, kept: Kept) -> Kept:
        self._kept.append(kept)
        return kept
