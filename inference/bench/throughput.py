"""How fast the engine loads, reads prompts and writes tokens. Medians: the machine is rarely ours alone."""

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inference import engine as engines
from inference import registry
from inference.bench import model_files, report
from inference.bench.report import Figure
from inference.engine import BadModelFile, Engine, SamplingParams, Sequence

PROMPT_TOKENS = 512
DECODE_PROMPT_TOKENS = 64
DECODE_TOKENS = 64
NUM_REPEATS = 3
NUM_TOGETHER = 4
# Prefix cache and repeats must not meet: every prompt starts with its own token.
_FIRST_TOKEN = 100
_LEAST_DECODE_TOKENS_PER_S = {model_files.DEFAULT_MODEL: 15.0}


def add_options(parser: argparse.ArgumentParser) -> None:
    chosen = os.environ.get("MODEL", model_files.DEFAULT_MODEL)
    parser.add_argument("--model", default=chosen, help="name, or a GGUF file")
    model_files.add_options(parser)


def run(options: argparse.Namespace) -> int:
    try:
        path = model_files.find(options.model, models_dir=options.models_dir)
        figures, engine = measure(
            path,
            num_threads=options.threads,
            least_decode=_LEAST_DECODE_TOKENS_PER_S.get(options.model),
            on_stage=lambda stage: print(f"… {stage}", file=sys.stderr),
        )
    except (registry.RegistryError, BadModelFile, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    described = engine.describe()
    print(f"{described['model']}, {described['kernel']}; {report.machine_line()}")
    print(report.table(figures))
    if options.json:
        report.write(options.json, figures=figures, conditions=_conditions(described, options.command))
    return 0


def _conditions(described: dict[str, Any], command: str) -> dict[str, Any]:
    return report.conditions(command) | {"kernel": described["kernel"]}


def measure(
    path: Path, *, num_threads: int | None, least_decode: float | None, on_stage: Callable[[str], None]
) -> tuple[list[Figure], Engine]:
    """Load the model and measure it; `least_decode` is the goal for one sequence's tokens/s."""
    on_stage("loading")
    started_at = time.perf_counter()
    engine = engines.load(path, on_progress=lambda share: None, num_threads=num_threads, speculates=False)
    load_s = time.perf_counter() - started_at
    prompts = _prompts()
    on_stage("reading prompts")
    prefill = [_prefill_speed(engine, next(prompts)) for _ in range(NUM_REPEATS)]
    on_stage("writing one sequence")
    alone = [_decode_speed(engine, [next(prompts)]) for _ in range(NUM_REPEATS)]
    on_stage(f"writing {NUM_TOGETHER} sequences together")
    together = [
        _decode_speed(engine, [next(prompts) for _ in range(NUM_TOGETHER)]) for _ in range(NUM_REPEATS)
    ]
    figures = [
        Figure(name="load time", value=load_s, unit="s"),
        Figure(name=f"prefill of {PROMPT_TOKENS} tokens", value=statistics.median(prefill), unit="tokens/s"),
        Figure(
            name="decode, one sequence", value=statistics.median(alone), unit="tokens/s", least=least_decode
        ),
        Figure(name="decode, one sequence, best repeat", value=max(alone), unit="tokens/s"),
        Figure(
            name=f"decode, {NUM_TOGETHER} sequences together",
            value=statistics.median(together),
            unit="tokens/s",
        ),
        Figure(name="peak memory", value=_peak_memory_gib(), unit="GiB"),
    ]
    return figures, engine


def _prompts() -> Iterator[list[int]]:
    first = _FIRST_TOKEN
    while True:
        yield [first, *range(_FIRST_TOKEN, _FIRST_TOKEN + PROMPT_TOKENS - 1)]
        first += 1


def _prefill_speed(engine: Engine, prompt_ids: list[int]) -> float:
    """Prompt tokens a second, from the empty cache to the first token drawn."""
    engine.add(Sequence("prefill", prompt_ids, SamplingParams(temperature=0), max_tokens=1))
    started_at = time.perf_counter()
    while engine.has_work():
        engine.step()
    return len(prompt_ids) / (time.perf_counter() - started_at)


def _decode_speed(engine: Engine, prompts: list[list[int]]) -> float:
    """Tokens a second of all sequences, by the median of their common steps."""
    for number, prompt_ids in enumerate(prompts):
        asked = prompt_ids[:DECODE_PROMPT_TOKENS]
        engine.add(Sequence(str(number), asked, SamplingParams(temperature=0), max_tokens=2 * DECODE_TOKENS))
    steps: list[float] = []
    while len(steps) < DECODE_TOKENS:
        started_at = time.perf_counter()
        outputs = engine.step()
        if len(outputs) == len(prompts):
            steps.append(time.perf_counter() - started_at)
    for number in range(len(prompts)):
        engine.abort(str(number))
    engine.step()
    return len(prompts) / statistics.median(steps)


def _peak_memory_gib() -> float:
    """The process's peak, the pages of the model file it had in memory included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
