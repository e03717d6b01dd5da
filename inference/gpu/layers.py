"""A layer's arithmetic on a device, alike for prompts and for single tokens but for attention's form."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from inference.config import ModelConfig
from inference.gpu.sharding import Shard
from inference.gpu.weights import Attention, Layer, Mixture, Mlp
from inference.kernels.gpu import latent
from inference.kernels.gpu.suite import Suite

# Keys and values made for this many positions at a time: 0.27 GB for 64 heads of 128 + 128.
_POSITIONS_AT_ONCE = 8192


@dataclass(frozen=True)
class Rows:
    """What the rows of a pass have in common, on the device.

    cosines, sines  fp32 [num_rows, rope_dim // 2]
    slots           int64 [num_rows]: where each row's latent goes in a layer of the pool, -1 nowhere
    lengths         int32 [num_rows]: 0 for rows that only fill a batch up; None where there are none
    """

    cosines: Tensor
    sines: Tensor
    slots: Tensor
    lengths: Tensor | None


class Attend(Protocol):
    """One form of latent attention, over a pool that the rows' own latents are in already."""

    def __call__(self, queries: Tensor, weights: Attention, pool: Tensor) -> Tensor:
        """queries bf16 [num_rows, num_heads, nope + rope], rotated -> bf16 [num_rows, num_heads * v]."""
        ...


@dataclass(frozen=True)
class Compute:
    """The layers of one device's share of a model."""

    config: ModelConfig
    kernels: Suite
    shard: Shard

    def layer(
        self, hidden: Tensor, added: Tensor | None, layer: Layer, rows: Rows, attend: Attend, pool: Tensor
    ) -> Tensor:
        """`hidden` fp32 [num_rows, hidden_size] takes in `added` and what attention adds, in place.

        Returns what the MLP adds, fp32; the next norm takes it in.
        """
        kernels, eps = self.kernels, self.config.rms_norm_eps
        normed = kernels.add_rms_norm(hidden, added, layer.attention.norm, eps)
        attended = self._attention(normed, layer.attention, rows, attend, pool)
        if isinstance(layer.mlp, Mlp):
            return self._mlp(kernels.add_rms_norm(hidden, attended, layer.mlp_norm, eps), layer.mlp)
        planes = torch.empty_like(normed)
        normed = kernels.add_rms_norm(hidden, attended, layer.mlp_norm, eps, planes=planes)
        return self._mixture(normed, planes, layer.mlp, rows)

    def _attention(
        self, normed: Tensor, weights: Attention, rows: Rows, attend: Attend, pool: Tensor
    ) -> Tensor:
        sizes = self.config.latent
        assert sizes is not None
        projected = functional.linear(normed, weights.down)
        query, own = projected.tensor_split([weights.down.shape[0] - sizes.cache_width], dim=1)
        if weights.query_norm is None:
            query = normed
        else:
            query = functional.rms_norm(query.float(), query.shape[1:], weights.query_norm, sizes.norm_eps)
        self.kernels.store_latents(
            own.contiguous(), weights.kv_norm, sizes.norm_eps, rows.cosines, rows.sines, rows.slots, pool
        )
        queries = functional.linear(query.to(normed.dtype), weights.query_up)
        queries = queries.view(normed.shape[0], -1, sizes.qk_head_dim)
        turning = queries[..., sizes.qk_nope_head_dim :]
        self.kernels.rotate(turning, rows.cosines, rows.sines, turning)
        output = functional.linear(attend(queries, weights, pool), weights.output)
        return self.shard.add_up(output.float() if self.shard.count > 1 else output)

    def _mlp(self, normed: Tensor, weights: Mlp) -> Tensor:
        return self.shard.add_up(self._gated(normed, weights))

    def _gated(self, normed: Tensor, weights: Mlp) -> Tensor:
        gate, up = functional.linear(normed, weights.gate_up).chunk(2, dim=1)
        return functional.linear(functional.silu(gate) * up, weights.down).float()

    def _mixture(self, normed: Tensor, planes: Tensor, weights: Mixture, rows: Rows) -> Tensor:
        assert self.config.experts is not None
        logits = normed.float() @ weights.router.T
        shares, chosen = self.kernels.route(logits, weights.choice_bias, self.config.experts, rows.lengths)
        if self.shard.count > 1:
            local = chosen - weights.first
            is_here = (local >= 0) & (local < weights.gate_up.num_experts)
            chosen = torch.where(is_here & (chosen >= 0), local, -1)
        added = None if weights.shared is None else self._gated(normed, weights.shared)
        mixed = self.kernels.mix(planes, shares, chosen, weights.gate_up, weights.down, added)
        return self.shard.add_up(mixed)


@dataclass(frozen=True)
class Absorbed:
    """For single tokens: queries are taken into the latents' space.

    block_tables int32 [num_sequences, most_blocks], lengths int32 [num_sequences]
    """

    compute: Compute
    block_tables: Tensor
    lengths: Tensor

    def __call__(self, queries: Tensor, weights: Attention, pool: Tensor) -> Tensor:
        config = self.compute.config
        assert config.latent is not None
        nope, rank = config.latent.qk_nope_head_dim, config.latent.kv_lora_rank
        absorbed = torch.empty(
            *queries.shape[:2],
            rank + config.latent.qk_rope_head_dim,
            dtype=queries.dtype,
            device=queries.device,
        )
        by_head = queries[..., :nope].transpose(0, 1)
        absorbed[..., :rank] = torch.bmm(by_head, weights.kv_up[:, :nope]).transpose(0, 1)
        absorbed[..., rank:] = queries[..., nope:]
        gathered = self.compute.kernels.decode(
            absorbed, pool, self.block_tables, self.lengths, rank=rank, scale=config.softmax_scale
        )
        values = torch.bmm(gathered.transpose(0, 1), weights.kv_up[:, nope:].transpose(1, 2))
        return values.transpose(0, 1).flatten(1)


@dataclass(frozen=True)
class Run:
    """One sequence's rows of a pass: position `start` and on; `blocks` int64 hold all up to the last."""

    rows: slice
    start: int
    blocks: Tensor


@dataclass(frozen=True)
class Plain:
    """For prompts: every head's keys and values are made from the latents of all positions seen."""

    compute: Compute
    runs: list[Run]

    def __call__(self, queries: Tensor, weights: Attention, pool: Tensor) -> Tensor:
        attended = [self._one(queries[run.rows], run, weights, pool) for run in self.runs]
        return torch.cat(attended).to(queries.dtype).flatten(1)

    def _one(self, queries: Tensor, run: Run, weights: Attention, pool: Tensor) -> Tensor:
        config = self.compute.config
        assert config.latent is not None
        rank, nope = config.latent.kv_lora_rank, config.latent.qk_nope_head_dim
        end = run.start + queries.shape[0]
        latents = pool[run.blocks].flatten(0, 1)[:end]
        parts = []
        for first in range(0, end, _POSITIONS_AT_ONCE):
            seen = latents[first : first + _POSITIONS_AT_ONCE]
            made = functional.linear(seen[:, :rank], weights.kv_up.flatten(0, 1))
            parts.append(
                self.compute.kernels.prefill(
                    queries,
                    made.view(seen.shape[0], queries.shape[1], -1),
                    seen[:, rank:],
                    start=run.start,
                    first=first,
                    nope=nope,
                    scale=config.softmax_scale,
                )
            )
        return latent.join(parts)
