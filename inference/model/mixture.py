"""The part of a layer after attention: one MLP, or a mixture of experts that a router chooses from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.config import Experts
from inference.kernels import reference
from inference.model import parameters
from inference.model.layers import Linear
from inference.model.packing import Packer


@dataclass(frozen=True)
class FeedForward:
    """down(silu(gate x) * up x); `gate_up` gives the two side by side."""

    gate_up: Linear
    down: Linear

    def __call__(self, x: Tensor, *, is_prefill: bool) -> Tensor:
        gate, up = self.gate_up(x, is_prefill=is_prefill).chunk(2, dim=1)
        return self.down(functional.silu(gate) * up, is_prefill=is_prefill)


@dataclass(frozen=True)
class Mixture:
    """`router` fp32 [num_experts, hidden_size]; the shared expert sees every token."""

    config: Experts
    router: Tensor
    choice_bias: Tensor
    experts: Sequence[FeedForward]
    shared: FeedForward | None

    def __call__(self, x: Tensor, *, is_prefill: bool) -> Tensor:
        """x [num_tokens, hidden_size] -> fp32, the same shape.

        Each expert computes all its tokens at once. A token's experts are added up in the order of their
        ids, whoever else is there.
        """
        weights, chosen = reference.route(self._logits(x, is_prefill), self.choice_bias, self.config)
        mixed = torch.zeros(x.shape, dtype=torch.float32)
        for expert in sorted(set(chosen.flatten().tolist())):
            tokens, place = (chosen == expert).nonzero(as_tuple=True)
            computed = self.experts[expert](x[tokens], is_prefill=is_prefill).float()
            mixed.index_add_(0, tokens, computed * weights[tokens, place].unsqueeze(1))
        if self.shared is not None:
            mixed += self.shared(x, is_prefill=is_prefill)
        return mixed

    def _logits(self, x: Tensor, is_prefill: bool) -> Tensor:
        """Few rows one by one: an fp32 product's roundings depend on how many there are, and a near tie
        would then be decided by the company.
        """
        if is_prefill:
            return x.float() @ self.router.T
        return torch.stack([self.router @ row for row in x.float()])


def build(
    weights: parameters.Mlp | parameters.MixtureMlp, experts: Experts | None, packer: Packer
) -> FeedForward | Mixture:
    if isinstance(weights, parameters.Mlp):
        return _feed_forward(weights, packer)
    assert experts is not None
    return Mixture(
        config=experts,
        router=packer.dense(weights.router, dtype=torch.float32),
        choice_bias=weights.choice_bias,
        experts=[_feed_forward(expert, packer) for expert in weights.experts],
        shared=None if weights.shared is None else _feed_forward(weights.shared, packer),
    )


def _feed_forward(weights: parameters.Mlp, packer: Packer) -> FeedForward:
    return FeedForward(packer.linear(weights.gate, weights.up), packer.linear(weights.down))
