"""A layer's arithmetic on a device, alike for prompts and for single tokens but for attention's form."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.config import ModelConfig
from inference.gpu import grouped_attention, latent_attention
from inference.gpu.places import Place, Rows
from inference.gpu.sharding import Shard
from inference.gpu.weights import Grouped, Latent, Layer, Mixture, Mlp
from inference.kernels.gpu.suite import Suite


@dataclass(frozen=True)
class Compute:
    """The layers of one device's share of a model."""

    config: ModelConfig
    kernels: Suite
    shard: Shard

    def layer(
        self, hidden: Tensor, added: Tensor | None, layer: Layer, rows: Rows, place: Place, pool: Tensor
    ) -> Tensor:
        """`hidden` fp32 [num_rows, hidden_size] takes in `added` and what attention adds, in place.

        Returns what the MLP adds, fp32; the next norm takes it in.
        """
        kernels, eps = self.kernels, self.config.rms_norm_eps
        normed = kernels.add_rms_norm(hidden, added, layer.attention.norm, eps)
        attended = self._attention(normed, layer.attention, rows, place, pool)
        if isinstance(layer.mlp, Mlp):
            return self._mlp(kernels.add_rms_norm(hidden, attended, layer.mlp_norm, eps), layer.mlp)
        planes = torch.empty_like(normed)
        normed = kernels.add_rms_norm(hidden, attended, layer.mlp_norm, eps, planes=planes)
        return self._mixture(normed, planes, layer.mlp, rows)

    def _attention(
        self, normed: Tensor, weights: Grouped | Latent, rows: Rows, place: Place, pool: Tensor
    ) -> Tensor:
        if isinstance(weights, Latent):
            attended = latent_attention.attend(normed, weights, rows, place, pool, self.config, self.kernels)
        else:
            attended = grouped_attention.attend(normed, weights, rows, place, pool, self.config, self.kernels)
        output = functional.linear(attended, weights.output)
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
