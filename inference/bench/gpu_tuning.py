"""Which configuration is fastest for which size on this device, as a table for the kernels' `tuning.toml`.

Configurations that do not compile, do not fit or compute something else are passed over.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch

from inference.bench import gpu_inputs
from inference.bench.gpu_layers import Chosen, RoutedLayer
from inference.bench.gpu_timing import Limits, Stopwatch, Work
from inference.bench.report import Figure
from inference.kernels.gpu import experts, latent, routing, suite
from inference.kernels.gpu.suite import Suite
from inference.kernels.gpu.tuning import AttentionConfig, ExpertConfig
from inference.model.kv_pool import BLOCK_TOKENS

_FAR = 0.02  # of the norm


def sweep(device: torch.device, table: Path, *, tiny: bool) -> Iterator[Figure]:
    """The best time of each matrix and size. `table` is written anew after each, so that a run cut short
    leaves what it found.
    """
    rows: dict[str, list[str]] = {}
    for figure, kernel, row in _sizes(device, tiny):
        rows.setdefault(kernel, []).append(row)
        parts = [f"{name} = [\n{''.join(found)}]\n" for name, found in rows.items()]
        table.write_text(f'[device."{suite.device_name(device)}"]\n{"".join(parts)}', encoding="utf-8")
        yield figure


def _sizes(device: torch.device, tiny: bool) -> Iterator[tuple[Figure, str, str]]:
    watch = Stopwatch(device, repeats=5)
    drawn = gpu_inputs.draw(device)
    config = gpu_inputs.TINY if tiny else gpu_inputs.K2
    layer = RoutedLayer(config, drawn, Suite(suite.device_name(device)), watch, Limits(1.0, 1.0))
    for num_tokens in (1, 3) if tiny else (1, 2, 4, 8, 16, 32, 64, 128, 256, 4096):
        chosen = layer.inputs(num_tokens, count=4)
        for matrix in ("gate_up", "down"):
            yield _best(
                matrix,
                num_tokens,
                {one: _products(layer, chosen, matrix, one) for one in _expert_configs(num_tokens, tiny)},
                watch,
            )
    for batch in (1,) if tiny else (1, 8, 64):
        context = 70 if tiny else 32768 // batch * 8 if batch > 8 else 32768
        yield _best(
            "latent_decode",
            batch,
            {one: [_decoding(drawn, config, batch, context, one)] for one in _attention_configs(tiny)},
            watch,
        )


def _expert_configs(num_tokens: int, tiny: bool) -> Iterator[ExpertConfig]:
    if tiny:
        yield ExpertConfig("rows", 1, 16, 8, 4, 1)
        yield ExpertConfig("tiles", 16, 32, 16, 4, 1)
        return
    if num_tokens <= 64:
        for rows, columns, words, warps, stages in itertools.product(
            (1, 2, 4) if num_tokens > 1 else (1,), (8, 16, 32), (64, 128, 256), (4, 8), (2, 4)
        ):
            yield ExpertConfig("rows", rows, columns, words, warps, stages)
    if num_tokens >= 8:
        small = (16,) if num_tokens < 256 else (16, 32, 64, 128)
        for rows, columns, words, warps, stages in itertools.product(
            small, (64, 128), (16, 32), (4, 8), (2, 3, 4)
        ):
            yield ExpertConfig("tiles", rows, columns, words, warps, stages)


def _attention_configs(tiny: bool) -> Iterator[AttentionConfig]:
    if tiny:
        yield AttentionConfig(16, 32, 2, 4, 1)
        return
    for heads, positions, splits, warps, stages in itertools.product(
        (16, 32, 64), (32, 64), (1, 2, 4, 8, 16, 32, 64), (4, 8), (2, 3)
    ):
        yield AttentionConfig(heads, positions, splits, warps, stages)


def _products(
    layer: RoutedLayer, chosen: list[Chosen], matrix: Literal["gate_up", "down"], config: ExpertConfig
) -> list[Work]:
    """One matrix of the layer on each set of inputs, its work gathered before."""
    made = []
    for one in chosen:
        num_per_token = one.ids.shape[1]
        rows = routing.gather_work(one.ids, layer.experts.num_experts, rows_per_block=config.rows_per_block)
        if matrix == "gate_up":
            made.append(
                _bound(
                    experts.gate_up,
                    experts.to_planes(one.x),
                    layer.weights.gate_up,
                    rows,
                    num_per_token,
                    config,
                )
            )
        else:
            generator = torch.Generator(device=one.x.device).manual_seed(1)
            activated = torch.randn(
                one.ids.numel(), layer.experts.expert_size, device=one.x.device, generator=generator
            ).bfloat16()
            made.append(_bound(experts.down, activated, one.weights, layer.weights.down, rows, config))
    return made


def _decoding(drawn: Any, config: Any, batch: int, context: int, cut: AttentionConfig) -> Work:
    blocks = -(-context // BLOCK_TOKENS)
    generator = torch.Generator(device=drawn.device).manual_seed(1)
    width = config.latent.cache_width
    pool = torch.randn(
        batch * blocks, BLOCK_TOKENS, width, device=drawn.device, generator=generator
    ).bfloat16()
    tables = torch.arange(batch * blocks, dtype=torch.int32, device=drawn.device).view(batch, blocks)
    lengths = torch.full((batch,), context, dtype=torch.int32, device=drawn.device)
    queries = torch.randn(batch, config.num_heads, width, device=drawn.device, generator=generator).bfloat16()
    return lambda: latent.decode(
        queries,
        pool,
        tables,
        lengths,
        rank=config.latent.kv_lora_rank,
        scale=config.softmax_scale,
        config=cut,
    )


def _bound(work: Callable[..., object], *arguments: object) -> Work:
    return lambda: work(*arguments)


def _best(kernel: str, up_to: int, ways: dict[Any, list[Work]], watch: Stopwatch) -> tuple[Figure, str, str]:
    """The fastest of the ways that agree with the first that ran, and its row of the table."""
    expected: torch.Tensor | None = None
    times: dict[Any, float] = {}
    for config, works in ways.items():
        try:
            found: Any = works[0]()
            if expected is None:
                expected = found.double()
            if not (found.double() - expected).norm() <= _FAR * expected.norm():
                print(f"# wrong: {config}")  # noqa: T201
                continue
            times[config] = watch.measure(works)
        except Exception as fault:  # whatever the compiler or driver throws at a configuration
            print(f"# passed over: {config} ({type(fault).__name__})")  # noqa: T201
    best = min(times, key=lambda config: times[config])
    fields = ", ".join(
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
        for key, value in asdict(best).items()
    )
    figure = Figure(name=f"{kernel} up to {up_to}: best of {len(times)}", value=times[best] * 1e6, unit="us")
    return figure, kernel, f"  {{ up_to = {up_to}, {fields} }},\n"
