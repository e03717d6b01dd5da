"""The kernels and the decoder on this machine's GPU, at the real shapes of Kimi K2 and Moonlight.

Correctness first: results that are far from fp64 at the real shapes end the run. Every share is of the
copy bandwidth measured in the same run, by the bytes of the experts really chosen. `--rehearse` runs it all
on tiny shapes on the CPU, in Triton's interpreter; its figures mean nothing.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inference.bench import report
from inference.bench.report import Figure


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument(
        "--tune", type=Path, metavar="FILE", help="try other configurations, write the best as a table"
    )
    parser.add_argument("--rehearse", action="store_true", help="tiny shapes in Triton's interpreter")
    parser.add_argument("--only", choices=("kernels", "models"), help="half of it")


def run(options: argparse.Namespace) -> int:
    if options.rehearse:
        os.environ["TRITON_INTERPRET"] = "1"
    import torch

    if not torch.cuda.is_available() and not options.rehearse:
        print("bench: no CUDA device here (`--rehearse` runs tiny shapes without one)", file=sys.stderr)
        return 1
    device = torch.device("cpu" if options.rehearse else "cuda")
    figures: list[Figure] = []
    for figure in _tuned(device, options) if options.tune else _figures(device, options):
        figures.append(figure)
        print(report.table([figure.named(f"{figure.name:<64}")]), flush=True)
        if "error against fp64" in figure.name and not figure.met:
            print("bench: wrong results are not timed", file=sys.stderr)
            return 1
    if options.json:
        from inference.kernels.gpu import suite

        conditions = report.conditions(options.command) | {"device": suite.device_name(device)}
        report.write(options.json, figures=figures, conditions=conditions)
    return 0


def _figures(device: Any, options: argparse.Namespace) -> Iterator[Figure]:
    from inference.bench import gpu_inputs, gpu_timing
    from inference.kernels.gpu import self_test

    suite = self_test.proven(device)
    yield Figure(name="kernels that failed their self-test", value=len(suite.wrong), unit="", most=0)
    watch = gpu_timing.Stopwatch(device)
    limits = gpu_timing.limits(watch)
    yield Figure(name="copy bandwidth", value=limits.bandwidth / 1e12, unit="TB/s")
    yield Figure(name="bf16 product", value=limits.products / 1e12, unit="TFLOP/s")
    drawn = gpu_inputs.draw(device)
    if options.only != "models":
        yield from _kernels(drawn, suite, watch, limits, tiny=options.rehearse)
    if options.only != "kernels":
        yield from _models(drawn, suite, limits, tiny=options.rehearse)


def _kernels(drawn: Any, suite: Any, watch: Any, limits: Any, *, tiny: bool) -> Iterator[Figure]:
    from inference.bench import gpu_inputs, gpu_layers, gpu_rows

    config = gpu_inputs.TINY if tiny else gpu_inputs.K2
    contexts = (70,) if tiny else (8192, 32768, 131072)
    for context in contexts:
        for batch in (1, 8) if context < 131072 else (1,):
            yield from gpu_layers.decoding(config, drawn, suite, watch, limits, batch=batch, context=context)
    for num_tokens in (3,) if tiny else (1, 64):
        yield from gpu_rows.figures(
            config,
            drawn,
            suite,
            watch,
            limits,
            num_tokens=num_tokens,
            prompt=5 if tiny else 4096,
        )
    layer = gpu_layers.RoutedLayer(config, drawn, suite, watch, limits)
    for num_tokens in (1, 3) if tiny else (1, 8, 16, 64, 256, 4096):
        seconds = 1.0
        for figure in layer.figures(num_tokens):
            if figure.name.endswith(": INT4"):
                seconds = figure.value / 1e6
            yield figure
        yield from layer.rivals(num_tokens, seconds)


def _models(drawn: Any, suite: Any, limits: Any, *, tiny: bool) -> Iterator[Figure]:
    from inference.bench import gpu_inputs, gpu_models

    if tiny:
        small: dict[str, Any] = {"batches": (1, 3), "context": 9, "steps": 1}
        yield from gpu_models.k2_stack(gpu_inputs.TINY, drawn, suite, limits, num_layers=1, **small)
        yield from gpu_models.whole_model(gpu_inputs.TINY, drawn, suite, limits, prompt=5, **small)
        return
    batches = (1, 8, 64)
    yield from gpu_models.whole_model(
        gpu_inputs.MOONLIGHT, drawn, suite, limits, batches=batches, context=2048, steps=30, prompt=4096
    )
    yield from gpu_models.k2_stack(
        gpu_inputs.K2,
        drawn,
        suite,
        limits,
        num_layers=_layers_that_fit(),
        batches=batches,
        context=8192,
        steps=30,
    )


def _layers_that_fit() -> int:
    """Of K2, beside 12 GB for the head, caches and captured steps; a layer takes 10.1 GB."""
    import torch

    free, _ = torch.cuda.mem_get_info()
    return max(1, int((free - 12e9) // 10.1e9))


def _tuned(device: Any, options: argparse.Namespace) -> Iterator[Figure]:
    from inference.bench import gpu_tuning

    yield from gpu_tuning.sweep(device, options.tune, tiny=options.rehearse)
