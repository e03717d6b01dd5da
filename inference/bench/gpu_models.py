"""Whole steps: as many of K2's layers as fit, and a whole model of Moonlight's shapes, INT4 beside BF16."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inference.bench import gpu_inputs
from inference.bench.gpu_inputs import Draw
from inference.bench.gpu_layers import Chosen, GroupedBf16
from inference.bench.gpu_timing import Limits, Stopwatch
from inference.bench.report import Figure
from inference.config import ModelConfig
from inference.gpu.decoder import GpuDecoder
from inference.gpu.weights import Mixture, Weights
from inference.kernels.gpu.experts import Int4Experts, from_planes
from inference.kernels.gpu.suite import Suite
from inference.model.kv_pool import BLOCK_TOKENS, KVPool
from inference.model.port import Span

_K2_LAYERS, _K2_DENSE_LAYERS = 61, 1


@dataclass(frozen=True)
class Bf16Suite(Suite):
    """The same kernels, but experts by torch's grouped product over BF16 copies."""

    copies: dict[int, GroupedBf16] = field(default_factory=dict, compare=False)

    def mix(
        self,
        planes: Tensor,
        weights: Tensor,
        chosen: Tensor,
        gate_up: Int4Experts,
        down: Int4Experts,
        added: Tensor | None,
    ) -> Tensor:
        grouped = self.copies.get(id(gate_up))
        if grouped is None:
            empty = torch.empty(0)
            grouped = GroupedBf16(Mixture(empty, empty, gate_up, down, 0, None))
            self.copies[id(gate_up)] = grouped
        mixed = grouped(Chosen(from_planes(planes), weights, chosen.clamp(min=0)))
        return mixed if added is None else mixed + added


class Running:
    """A model with sequences of `context` positions behind them."""

    def __init__(self, weights: Weights, suite: Suite, *, batch: int, context: int) -> None:
        blocks = -(-(context + BLOCK_TOKENS) // BLOCK_TOKENS)
        self.decoder = GpuDecoder(weights, max_context_tokens=blocks * BLOCK_TOKENS, kernels=suite)
        device = weights.head.device
        self.pool = KVPool(weights.config, num_blocks=batch * blocks, dtype=torch.bfloat16, device=device)
        self.spans = [
            Span(block_ids=list(range(row * blocks, (row + 1) * blocks)), start=context, num_tokens=1)
            for row in range(batch)
        ]
        self.batch, self.device = batch, device

    def seconds_per_step(self, num_steps: int) -> float:
        """Wall time of a step as the engine sees it: tokens in, logits out."""
        ids = [1] * self.batch
        for _ in range(2):
            self.decoder.forward(ids, self.spans, self.pool)
        began = time.perf_counter()
        for _ in range(num_steps):
            self.decoder.forward(ids, self.spans, self.pool)
        return (time.perf_counter() - began) / num_steps

    def prefill_tokens_per_second(self, num_tokens: int) -> float:
        span = Span(block_ids=self.spans[0].block_ids, start=0, num_tokens=num_tokens)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            self.decoder.forward([1] * num_tokens, [span], self.pool)
            times.append(time.perf_counter() - began)
        return num_tokens / min(times)


def k2_stack(
    config: ModelConfig,
    drawn: Draw,
    suite: Suite,
    limits: Limits,
    *,
    num_layers: int,
    batches: tuple[int, ...],
    context: int,
    steps: int,
) -> Iterator[Figure]:
    """Decoding through `num_layers` layers with experts and the head, and what follows for the whole model.

    A layer's time is (stack - head) / num_layers, the head measured apart; 61 layers on 8 devices that share
    each layer evenly take (61 * layer + head) / 8. That bounds it from below: two all-reduces a layer are not
    counted.
    """
    weights = gpu_inputs.weights(config, drawn, num_layers=num_layers)
    watch = Stopwatch(drawn.device)
    for batch in batches:
        running = Running(weights, suite, batch=batch, context=context)
        seconds = running.seconds_per_step(steps)
        hidden = drawn.normal(batch, config.hidden_size)
        head = watch.measure([lambda rows=hidden: rows @ weights.head.T])  # type: ignore[misc]
        layer = (seconds - head) / num_layers
        name = f"{config.name}, {num_layers} layers, batch {batch}"
        yield Figure(name=f"{name}: step", value=seconds * 1e3, unit="ms")
        yield Figure(name=f"{name}: one layer", value=layer * 1e6, unit="us")
        whole = (_K2_LAYERS * layer + head) / 8
        yield Figure(
            name=f"{name}: whole model on 8 devices, at least", value=whole * 1e3, unit="ms/step (computed)"
        )
        del running


def whole_model(
    config: ModelConfig,
    drawn: Draw,
    suite: Suite,
    limits: Limits,
    *,
    batches: tuple[int, ...],
    context: int,
    steps: int,
    prompt: int,
) -> Iterator[Figure]:
    """Decode and prefill of all layers, INT4 and BF16 experts."""
    weights = gpu_inputs.weights(config, drawn)
    kinds = {"INT4": suite, "BF16": Bf16Suite(suite.device, suite.wrong)}
    speeds: dict[tuple[str, int], float] = {}
    for kind, kernels in kinds.items():
        for batch in batches:
            running = Running(weights, kernels, batch=batch, context=context)
            seconds = running.seconds_per_step(steps)
            speeds[kind, batch] = batch / seconds
            name = f"{config.name}, {kind}, batch {batch}"
            yield Figure(name=f"{name}: decode", value=batch / seconds, unit="tokens/s")
            if kind == "INT4" and batch == 1:
                share = _bytes_of_one_token(config) / (limits.bandwidth * seconds)
                yield Figure(name=f"{name}: of the copy bandwidth", value=share, unit="", least=0.6)
        running = Running(weights, kernels, batch=1, context=max(prompt, context))
        yield Figure(
            name=f"{config.name}, {kind}: prefill of {prompt}",
            value=running.prefill_tokens_per_second(prompt),
            unit="tokens/s",
        )
    for batch in batches:
        gain = speeds["INT4", batch] / speeds["BF16", batch]
        yield Figure(name=f"{config.name}, batch {batch}: INT4 over BF16", value=gain, unit="x")


def _bytes_of_one_token(config: ModelConfig) -> float:
    """What one token must read of the weights: its experts in INT4, everything else in bf16."""
    sizes, experts, hidden_size = config.latent, config.experts, config.hidden_size
    assert sizes is not None
    assert experts is not None
    queries = config.num_heads * sizes.qk_head_dim
    way_to_queries = (
        hidden_size * queries if sizes.q_lora_rank is None else sizes.q_lora_rank * (hidden_size + queries)
    )
    made = config.num_heads * (sizes.qk_nope_head_dim + sizes.v_head_dim)
    attention = way_to_queries + hidden_size * sizes.cache_width + sizes.kv_lora_rank * made
    attention += config.num_heads * sizes.v_head_dim * hidden_size
    with_experts = config.num_layers - experts.first_layer
    routed = with_experts * experts.num_per_token * 3 * hidden_size * experts.expert_size
    shared = with_experts * 3 * hidden_size * experts.shared_size
    routers = with_experts * experts.num_experts * hidden_size
    dense = experts.first_layer * 3 * hidden_size * config.intermediate_size
    head = config.vocab_size * hidden_size
    return 0.5625 * routed + 2 * (config.num_layers * attention + shared + dense + head) + 4 * routers
