"""Parts of a layer at real shapes: routed experts beside other ways to multiply them, latent attention."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.bench.gpu_inputs import Draw, mixture
from inference.bench.gpu_timing import Limits, Stopwatch
from inference.bench.report import Figure
from inference.checkpoints import pack_quantized
from inference.config import ModelConfig
from inference.gpu.weights import Mixture
from inference.kernels.gpu import experts as kernels
from inference.kernels.gpu.experts import Int4Experts
from inference.kernels.gpu.suite import Suite
from inference.model.kv_pool import BLOCK_TOKENS

_INPUT_SETS = 8
# Of the copy's bandwidth: what a routed layer should reach by its number of tokens.
_LEAST_SHARE = {1: 0.55, 8: 0.70, 16: 0.70, 64: 0.70}
_LEAST_GAIN = {1: 2.5, 64: 3.0}

Compute = Callable[["Chosen"], Tensor]
Way = Callable[[], Compute]  # its own weights are made when it is its turn, and go when it is over


@dataclass(frozen=True)
class Chosen:
    """One set of inputs of a routed layer."""

    x: Tensor
    weights: Tensor
    ids: Tensor

    @property
    def num_experts(self) -> int:
        """Distinct ones, which is what must be read."""
        return len(set(self.ids.flatten().tolist()))


class RoutedLayer:
    """The routed experts of one layer, INT4."""

    def __init__(
        self, config: ModelConfig, drawn: Draw, suite: Suite, watch: Stopwatch, limits: Limits
    ) -> None:
        assert config.experts is not None
        self.config, self.experts = config, config.experts
        self.weights: Mixture = mixture(config, drawn)
        self.drawn, self.suite, self.watch, self.limits = drawn, suite, watch, limits

    def inputs(self, num_tokens: int, count: int = _INPUT_SETS) -> list[Chosen]:
        """Fresh random tokens, each to experts drawn evenly."""
        found = []
        for _ in range(count):
            x = self.drawn.normal(num_tokens, self.config.hidden_size)
            scores = self.drawn.normal(num_tokens, self.experts.num_experts, dtype=torch.float32)
            weights, ids = scores.sigmoid().topk(self.experts.num_per_token, dim=1)
            found.append(Chosen(x, weights / weights.sum(1, keepdim=True), ids.int()))
        return found

    def bytes_needed(self, chosen: list[Chosen], bytes_per_weight: float) -> float:
        """Of the experts really chosen, on average."""
        mean = sum(one.num_experts for one in chosen) / len(chosen)
        return mean * 3 * self.config.hidden_size * self.experts.expert_size * bytes_per_weight

    def ours(self, chosen: Chosen) -> Tensor:
        planes = kernels.to_planes(chosen.x)
        return self.suite.mix(
            planes, chosen.weights, chosen.ids, self.weights.gate_up, self.weights.down, None
        )

    def exact(self, chosen: Chosen, token: int) -> Tensor:
        """One token's output in fp64."""
        total = torch.zeros(self.config.hidden_size, dtype=torch.float64, device=chosen.x.device)
        for weight, expert in zip(chosen.weights[token], chosen.ids[token].tolist(), strict=True):
            gate, up = (_dense(self.weights.gate_up, expert).double() @ chosen.x[token].double()).chunk(2)
            total += weight * (_dense(self.weights.down, expert).double() @ (functional.silu(gate) * up))
        return total

    def figures(self, num_tokens: int) -> Iterator[Figure]:
        """Error first, then time, and the share of the limit."""
        name = f"routed layer, {num_tokens} tokens"
        chosen = self.inputs(num_tokens)
        checked = self.ours(chosen[0])
        tokens = range(min(num_tokens, 3))
        exact = torch.stack([self.exact(chosen[0], token) for token in tokens])
        error = (checked[: len(tokens)].double() - exact).norm() / exact.norm()
        yield Figure(name=f"{name}: error against fp64", value=float(error), unit="of the norm", most=0.01)
        seconds = self.watch.measure([_bound(self.ours, one) for one in chosen])
        yield Figure(name=f"{name}: INT4", value=seconds * 1e6, unit="us")
        num_bytes = self.bytes_needed(chosen, 0.5625)
        operations = (
            2
            * num_tokens
            * self.experts.num_per_token
            * 3
            * self.config.hidden_size
            * self.experts.expert_size
        )
        if num_tokens < 1024:
            share = num_bytes / (self.limits.bandwidth * seconds)
            least = _LEAST_SHARE.get(num_tokens)
            yield Figure(name=f"{name}: of the copy bandwidth", value=share, unit="", least=least)
        else:
            yield Figure(
                name=f"{name}: of the bf16 product rate",
                value=operations / (self.limits.products * seconds),
                unit="",
            )
        yield Figure(name=f"{name}: distinct experts", value=chosen[0].num_experts, unit="")

    def rivals(self, num_tokens: int, ours_seconds: float) -> Iterator[Figure]:
        """Other ways to compute the same, as ratios to ours. What this machine cannot run is left out."""
        name = f"routed layer, {num_tokens} tokens"
        chosen = self.inputs(num_tokens)
        for label, make, captures, least in self._ways(num_tokens):
            try:
                work = make()
                seconds = self.watch.measure([_bound(work, one) for one in chosen], captures=captures)
            except (RuntimeError, AttributeError, torch.OutOfMemoryError) as fault:
                print(f"left out: {label} ({str(fault).splitlines()[0]})")  # noqa: T201
                continue
            yield Figure(name=f"{name}: {label}", value=seconds * 1e6, unit="us")
            yield Figure(
                name=f"{name}: ours, times as fast as {label}",
                value=seconds / ours_seconds,
                unit="x",
                least=least,
            )

    def _ways(self, num_tokens: int) -> list[tuple[str, Way, bool, float | None]]:
        ways: list[tuple[str, Way, bool, float | None]] = []
        if num_tokens <= 16:
            ways.append(
                (
                    "torch's INT4 operator, looped",
                    lambda: Int4Loop(self.weights),
                    False,
                    8.0 if num_tokens == 8 else None,
                )
            )
        ways.append(("dequantise, then multiply", lambda: self._dequantised, False, None))
        least = _LEAST_GAIN.get(num_tokens, 0.9 if num_tokens >= 4096 else None)
        ways.append(("BF16 grouped product", lambda: GroupedBf16(self.weights), True, least))
        return ways

    def _dequantised(self, chosen: Chosen) -> Tensor:
        mixed = torch.zeros(chosen.x.shape, dtype=torch.float32, device=chosen.x.device)
        for expert in sorted(set(chosen.ids.flatten().tolist())):
            tokens, places = (chosen.ids == expert).nonzero(as_tuple=True)
            gate, up = (chosen.x[tokens] @ _dense(self.weights.gate_up, expert).T).chunk(2, dim=1)
            computed = (functional.silu(gate) * up) @ _dense(self.weights.down, expert).T
            mixed.index_add_(0, tokens, computed.float() * chosen.weights[tokens, places].unsqueeze(1))
        return mixed


class Int4Loop:
    """torch's own INT4 operator (tinygemm), an expert after the other."""

    def __init__(self, weights: Mixture) -> None:
        self._gate_up = [_tinygemm(weights.gate_up, expert) for expert in range(weights.gate_up.num_experts)]
        self._down = [_tinygemm(weights.down, expert) for expert in range(weights.down.num_experts)]

    def __call__(self, chosen: Chosen) -> Tensor:
        mixed = torch.zeros(chosen.x.shape, dtype=torch.float32, device=chosen.x.device)
        for expert in sorted(set(chosen.ids.flatten().tolist())):
            tokens, places = (chosen.ids == expert).nonzero(as_tuple=True)
            gate, up = torch._weight_int4pack_mm(chosen.x[tokens], *self._gate_up[expert]).chunk(2, dim=1)
            computed = torch._weight_int4pack_mm(functional.silu(gate) * up, *self._down[expert])
            mixed.index_add_(0, tokens, computed.float() * chosen.weights[tokens, places].unsqueeze(1))
        return mixed


class GroupedBf16:
    """torch's grouped product over the same experts in BF16. Sorting tokens by expert is part of the work."""

    def __init__(self, weights: Mixture) -> None:
        self._source = weights
        self._dense: tuple[Tensor, Tensor] | None = None

    def __call__(self, chosen: Chosen) -> Tensor:
        if self._dense is None:
            self._dense = _stacked(self._source.gate_up), _stacked(self._source.down)
        gate_up, down = self._dense
        pairs = chosen.ids.flatten()
        order = pairs.argsort(stable=True)
        tokens = order // chosen.ids.shape[1]
        counts = torch.zeros(gate_up.shape[0], dtype=torch.int32, device=pairs.device)
        counts.scatter_add_(0, pairs.long(), torch.ones_like(pairs))
        ends = counts.cumsum(0).to(torch.int32)
        gate, up = torch._grouped_mm(chosen.x[tokens], gate_up.transpose(1, 2), ends).chunk(2, dim=1)
        computed = torch._grouped_mm(functional.silu(gate) * up, down.transpose(1, 2), ends)
        mixed = torch.zeros(chosen.x.shape, dtype=torch.float32, device=pairs.device)
        weights = chosen.weights.flatten()[order].unsqueeze(1)
        return mixed.index_add_(0, tokens, computed.float() * weights)


def decoding(
    config: ModelConfig,
    drawn: Draw,
    suite: Suite,
    watch: Stopwatch,
    limits: Limits,
    *,
    batch: int,
    context: int,
) -> Iterator[Figure]:
    """Latent attention of one layer, every sequence at the end of `context` positions on pages of its own."""
    sizes = config.latent
    assert sizes is not None
    width = sizes.cache_width
    blocks = -(-context // BLOCK_TOKENS)
    pool = drawn.normal(batch * blocks, BLOCK_TOKENS, width)
    order = torch.randperm(batch * blocks, device=drawn.device, generator=drawn.generator)
    tables = order.view(batch, blocks).int()
    lengths = torch.full((batch,), context, dtype=torch.int32, device=drawn.device)
    queries = drawn.normal(batch, config.num_heads, width)

    def attend() -> Tensor:
        return suite.decode_latent(
            queries, pool, tables, lengths, rank=sizes.kv_lora_rank, scale=config.softmax_scale
        )

    name = (
        f"latent decode, {batch} x {context // 1024}K"
        if context >= 1024
        else f"latent decode, {batch} x {context}"
    )
    seen = pool[tables[0].long()].flatten(0, 1)[:context].double()
    scores = queries[0].double() @ seen.T * config.softmax_scale
    exact = scores.softmax(dim=1) @ seen[:, : sizes.kv_lora_rank]
    error = (attend()[0].double() - exact).norm() / exact.norm()
    yield Figure(name=f"{name}: error against fp64", value=float(error), unit="of the norm", most=0.01)
    seconds = watch.measure([attend])
    share = batch * context * width * 2 / (limits.bandwidth * seconds)
    least = 0.70 if (batch, context) == (8, 32768) else None
    yield Figure(name=name, value=seconds * 1e6, unit="us")
    yield Figure(name=f"{name}: of the copy bandwidth", value=share, unit="", least=least)


def _dense(weights: Int4Experts, expert: int) -> Tensor:
    return pack_quantized.dequantize(weights.words[expert], weights.scales[expert]).bfloat16()


def _stacked(weights: Int4Experts) -> Tensor:
    stacked = torch.empty(
        weights.num_experts,
        weights.num_rows,
        weights.num_columns,
        dtype=torch.bfloat16,
        device=weights.words.device,
    )
    for expert in range(weights.num_experts):
        stacked[expert] = _dense(weights, expert)
    return stacked


def _tinygemm(weights: Int4Experts, expert: int) -> tuple[Tensor, int, Tensor]:
    """The operator's arguments: weights in its own order, group size, scales with zeros (8 is its middle)."""
    nibbles = pack_quantized.unpack(weights.words[expert]).int()
    packed = torch._convert_weight_to_int4pack((nibbles[:, ::2] << 4 | nibbles[:, 1::2]).to(torch.uint8), 8)
    scales = weights.scales[expert].T
    return packed, 32, torch.stack([scales, torch.zeros_like(scales)], dim=2).contiguous()


def _bound(work: Callable[[Chosen], Tensor], chosen: Chosen) -> Callable[[], Tensor]:
    return lambda: work(chosen)
