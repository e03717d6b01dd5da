"""A model's weights on a device: INT4 experts as the file packs them, everything else in bf16.

Layers are streamed: one matrix at a time is read, converted and copied.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.checkpoints import pack_quantized
from inference.config import ModelConfig
from inference.gpu.sharding import CannotShard, Shard
from inference.kernels.gpu.experts import Int4Experts
from inference.model import parameters, rope
from inference.model.folder_matrices import Int4Matrix
from inference.model.parameters import Parameters, StoredMatrix

_WEIGHTS_AT_ONCE = 1 << 24


class UnsupportedModel(Exception):
    """The text says what the kernels have no form for."""


@dataclass(frozen=True)
class Grouped:
    """Grouped-query attention.

    qkv        bf16 [(num_heads + 2 * num_kv_heads) * head_dim, hidden_size]
    bias       fp32 [the same rows]; it and the norms of each head [head_dim] are None where there are none
    output     bf16 [hidden_size, num_heads * head_dim]
    """

    norm: Tensor
    qkv: Tensor
    bias: Tensor | None
    query_norm: Tensor | None
    key_norm: Tensor | None
    output: Tensor


@dataclass(frozen=True)
class Latent:
    """Latent attention with this device's heads.

    down       bf16 [q_lora_rank + cache_width, hidden_size]: the query's way down (none if it has no latent),
               then that of keys and values
    query_up   bf16 [num_heads * (nope + rope), q_lora_rank or hidden_size]
    kv_up      bf16 [num_heads, nope + v, kv_lora_rank]
    output     bf16 [hidden_size, num_heads * v]
    """

    norm: Tensor
    down: Tensor
    query_norm: Tensor | None
    query_up: Tensor
    kv_norm: Tensor
    kv_up: Tensor
    output: Tensor


@dataclass(frozen=True)
class Mlp:
    """This device's columns: gate_up bf16 [2 * size, hidden_size], gate first; down [hidden_size, size]."""

    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True)
class Mixture:
    """router fp32 [num_experts, hidden_size]; of the experts this device holds those from `first` on."""

    router: Tensor
    choice_bias: Tensor
    gate_up: Int4Experts
    down: Int4Experts
    first: int
    shared: Mlp | None


@dataclass(frozen=True)
class Layer:
    attention: Grouped | Latent
    mlp_norm: Tensor
    mlp: Mlp | Mixture


@dataclass(frozen=True)
class Weights:
    """All of one device's share. The embedding stays where it is read from: a step takes few of its rows.

    head         bf16 [this device's run of the vocabulary, hidden_size]
    frequencies  fp64 [rope_dim // 2], as `rope.frequencies`
    """

    config: ModelConfig
    embedding: StoredMatrix
    layers: list[Layer]
    norm: Tensor
    head: Tensor
    frequencies: Tensor


def load(
    source: Parameters,
    *,
    device: torch.device,
    shard: Shard | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Weights:
    """Put one device's share of a model on it. Raises UnsupportedModel, CannotShard, BadModelFile."""
    check(source.config)
    loader = _Loader(source.config, device, shard or Shard())
    layers = []
    for stored in source.layers():
        layers.append(loader.layer(stored))
        on_progress(len(layers) / source.config.num_layers)
    return Weights(
        config=source.config,
        embedding=source.embedding(),
        layers=layers,
        norm=loader.vector(source.norm()),
        head=loader.head(source.head()),
        frequencies=rope.frequencies(source.config, source.rope_frequency_factors()).to(device),
    )


class _Loader:
    """Puts layers on a device."""

    def __init__(self, config: ModelConfig, device: torch.device, shard: Shard) -> None:
        self._config, self._device, self._shard = config, device, shard

    def layer(self, stored: parameters.Layer) -> Layer:
        mlp: Mlp | Mixture
        if isinstance(stored.mlp, parameters.MixtureMlp):
            mlp = self._mixture(stored.mlp)
        else:
            mlp = self._mlp(stored.mlp)
        norm = self.vector(stored.attention_norm)
        attention: Grouped | Latent
        if isinstance(stored.attention, parameters.LatentAttention):
            attention = self._latent(stored.attention, norm)
        else:
            attention = self._grouped(stored.attention, norm)
        return Layer(attention, self.vector(stored.mlp_norm), mlp)

    def head(self, stored: StoredMatrix) -> Tensor:
        """bf16, this device's run of the vocabulary."""
        return self._rows(stored, self._shard.run(stored.num_rows, "tokens of the vocabulary"))

    def vector(self, stored: Tensor) -> Tensor:
        return stored.float().to(self._device)

    def _optional(self, stored: Tensor | None) -> Tensor | None:
        return None if stored is None else self.vector(stored)

    def _grouped(self, stored: parameters.GroupedQueryAttention, norm: Tensor) -> Grouped:
        if self._shard.count > 1:
            raise CannotShard("grouped-query attention is not shared out to several devices")
        matrices = (stored.query, stored.key, stored.value)
        return Grouped(
            norm=norm,
            qkv=torch.cat([self._rows(matrix, slice(0, matrix.num_rows)) for matrix in matrices]),
            bias=self._optional(stored.bias),
            query_norm=self._optional(stored.query_norm),
            key_norm=self._optional(stored.key_norm),
            output=self._rows(stored.output, slice(0, stored.output.num_rows)),
        )

    def _latent(self, stored: parameters.LatentAttention, norm: Tensor) -> Latent:
        config, sizes = self._config, self._config.latent
        assert sizes is not None
        heads = self._shard.run(config.num_heads, "attention heads")
        up = stored.query if stored.query is not None else stored.query_up
        assert up is not None
        ways_down = [stored.kv_down] if stored.query_down is None else [stored.query_down, stored.kv_down]
        made = sizes.qk_nope_head_dim + sizes.v_head_dim
        kv_up = self._rows(stored.kv_up, _times(heads, made))
        return Latent(
            norm=norm,
            down=torch.cat([self._rows(matrix, slice(0, matrix.num_rows)) for matrix in ways_down]),
            query_norm=self._optional(stored.query_norm),
            query_up=self._rows(up, _times(heads, sizes.qk_head_dim)),
            kv_norm=self.vector(stored.kv_norm),
            kv_up=kv_up.view(-1, made, sizes.kv_lora_rank),
            output=self._columns(stored.output, _times(heads, sizes.v_head_dim)),
        )

    def _mlp(self, stored: parameters.Mlp) -> Mlp:
        own = self._shard.run(stored.gate.num_rows, "dimensions of an MLP")
        gate_up = torch.cat([self._rows(stored.gate, own), self._rows(stored.up, own)])
        return Mlp(gate_up, self._columns(stored.down, own))

    def _mixture(self, stored: parameters.MixtureMlp) -> Mixture:
        own = self._shard.run(len(stored.experts), "experts")
        experts = stored.experts[own]
        return Mixture(
            router=stored.router.rows(slice(0, stored.router.num_rows)).to(self._device),
            choice_bias=self.vector(stored.choice_bias),
            gate_up=self._stack([(expert.gate, expert.up) for expert in experts]),
            down=self._stack([(expert.down,) for expert in experts]),
            first=own.start,
            shared=None if stored.shared is None else self._mlp(stored.shared),
        )

    def _stack(self, experts: Sequence[tuple[StoredMatrix, ...]]) -> Int4Experts:
        """Each expert's matrices one under the other."""
        num_rows = sum(matrix.num_rows for matrix in experts[0])
        num_columns = experts[0][0].num_columns
        words = torch.empty(len(experts), num_rows, num_columns // 8, dtype=torch.int32, device=self._device)
        scales = torch.empty(
            len(experts), num_rows, num_columns // 32, dtype=torch.bfloat16, device=self._device
        )
        for index, matrices in enumerate(experts):
            start = 0
            for matrix in matrices:
                rows = slice(start, start + matrix.num_rows)
                packed, packed_scales = _packed(matrix)
                words[index, rows].copy_(packed)
                scales[index, rows].copy_(packed_scales)
                start = rows.stop
        return Int4Experts(words, scales)

    def _rows(self, matrix: StoredMatrix, rows: slice) -> Tensor:
        dense = torch.empty(
            rows.stop - rows.start, matrix.num_columns, dtype=torch.bfloat16, device=self._device
        )
        step = max(1, _WEIGHTS_AT_ONCE // matrix.num_columns)
        for start in range(rows.start, rows.stop, step):
            stop = min(start + step, rows.stop)
            dense[start - rows.start : stop - rows.start].copy_(matrix.rows(slice(start, stop)))
        return dense

    def _columns(self, matrix: StoredMatrix, columns: slice) -> Tensor:
        dense = torch.empty(
            matrix.num_rows, columns.stop - columns.start, dtype=torch.bfloat16, device=self._device
        )
        step = max(1, _WEIGHTS_AT_ONCE // matrix.num_columns)
        for start in range(0, matrix.num_rows, step):
            rows = slice(start, min(start + step, matrix.num_rows))
            dense[rows].copy_(matrix.rows(rows)[:, columns])
        return dense


def check(config: ModelConfig) -> None:
    """Raises UnsupportedModel for an architecture that the kernels do not compute."""
    sizes = config.latent
    if sizes is None:
        widths = {"head_dim": config.head_dim}
    else:
        widths = {
            "kv_lora_rank": sizes.kv_lora_rank,
            "qk_nope_head_dim": sizes.qk_nope_head_dim,
            "qk_rope_head_dim": sizes.qk_rope_head_dim,
            "v_head_dim": sizes.v_head_dim,
        }
    for name, width in widths.items():
        if width < 16 or width & (width - 1):
            raise UnsupportedModel(f"{name} is {width}, not a power of two from 16 on")
    if config.hidden_size % 32:
        raise UnsupportedModel(f"hidden_size is {config.hidden_size}, not a multiple of 32")


def _packed(matrix: StoredMatrix) -> tuple[Tensor, Tensor]:
    """Words and scales, as `Int4Experts` holds them. Raises UnsupportedModel."""
    if matrix.format != "INT4_G32":
        raise UnsupportedModel(f"its experts are stored as {matrix.format}, not as INT4 in groups of 32")
    if isinstance(matrix, Int4Matrix) and matrix.order is None:
        return matrix.packed, matrix.scales
    blocks = matrix.blocks(slice(0, matrix.num_rows))
    return pack_quantized.pack(blocks.values.to(torch.int8) - pack_quantized.ZERO), blocks.scales


def _times(run: slice, factor: int) -> slice:
    return slice(run.start * factor, run.stop * factor)
