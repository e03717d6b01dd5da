"""The engine on this machine's cores beside llama.cpp and transformers, on the same files, in turn.

Where a peer is missing the rest is still measured, and a line says what is not.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from inference import registry
from inference.bench import comparison, llama_cpp, model_files, peers
from inference.bench.comparison import Comparison
from inference.bench.contender import ContenderFailed
from inference.bench.peers import MEMORY, OURS, TRANSFORMERS, Field
from inference.bench.report import Figure
from inference.bench.rounds import Goal, Samples
from inference.bench.workload import Measure
from inference.checkpoints import BadModelFile, gguf_file

_CACHED = Goal(measure=Measure.CACHED, rival=OURS, rival_measure=Measure.COLD, least=8.0)
_TOGETHER = (
    Goal(measure=Measure.FOUR, rival=llama_cpp.NAME, least=1.5),
    Goal(measure=Measure.EIGHT, rival=llama_cpp.NAME, least=2.0),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked of a model: its goals, and formats that suit llama.cpp better than the shipped one."""

    goals: Sequence[Goal]
    better_kinds: Sequence[str] = ()


_PLANS = {
    "qwen2.5-coder-1.5b": Plan(
        goals=(
            Goal(measure=Measure.DECODE, rival=llama_cpp.NAME, least=1.2),
            Goal(measure=Measure.PREFILL, rival=llama_cpp.NAME, least=1.5),
            *_TOGETHER,
            _CACHED,
        )
    ),
    "smollm2": Plan(
        better_kinds=("Q4_0",),
        goals=(
            Goal(measure=Measure.DECODE, rival=llama_cpp.NAME, least=1.2),
            Goal(measure=Measure.DECODE, rival=f"{llama_cpp.NAME} Q4_0", least=1.0),
            Goal(measure=Measure.PREFILL, rival=f"{llama_cpp.NAME} Q4_0", least=1.0),
            *_TOGETHER,
            _CACHED,
        ),
    ),
}
# Any other file is held against the same goals as the default model.
_ANY_OTHER = _PLANS[model_files.DEFAULT_MODEL]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", default=list(_PLANS), help="names, or GGUF files")
    parser.add_argument("--peers", nargs="*", choices=peers.ALL, default=peers.ALL, help="only these")
    comparison.add_options(parser)
    model_files.add_options(parser)


def run(options: argparse.Namespace) -> int:
    threads = options.threads or psutil.cpu_count(logical=True) or 1
    done = []
    try:
        for model in options.models:
            path = model_files.find(model, models_dir=options.models_dir)
            done.append(_compare(model, path, num_threads=threads, options=options))
            print(comparison.text(done[-1]), flush=True)
    except (registry.RegistryError, BadModelFile, OSError, ContenderFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.json:
        comparison.write(options.json, done, command=options.command)
    return 0


def _compare(model: str, path: Path, *, num_threads: int, options: argparse.Namespace) -> Comparison:
    plan = _PLANS.get(model, _ANY_OTHER)
    with Field(num_threads=num_threads, on_stage=comparison.tell) as field:
        field.add_memory()
        field.add_ours(path)
        if llama_cpp.NAME in options.peers:
            field.add_llama_cpp(path, as_kinds=plan.better_kinds)
        if TRANSFORMERS in options.peers:
            field.add_transformers(path)
        samples = comparison.measure(field, num_rounds=options.rounds, measures=options.measures)
        return Comparison(
            subject=f"{model}, {num_threads} threads",
            names=[name for name in field.names if name != MEMORY],
            facts={contender.name: dict(contender.facts) for contender in field.contenders},
            missing=field.missing,
            samples=samples,
            goals=plan.goals,
            derived=bandwidth_shares(samples, field.names, bytes_per_token=_bytes_per_token(path)),
        )


def _bytes_per_token(path: Path) -> int:
    """What the file holds of the weights that one token passes: all but the embedding, where that is not the
    head as well.
    """
    tensors = gguf_file.read(path).tensors
    has_head = "output.weight" in tensors
    return sum(
        tensor.num_rows * tensor.row_bytes
        for name, tensor in tensors.items()
        if not (has_head and name == "token_embd.weight")
    )


def bandwidth_shares(samples: Samples, names: Sequence[str], *, bytes_per_token: int) -> list[Figure]:
    """How much of the memory's speed each contender's decode needs at least: the file's bytes a token times
    the tokens a second. One that widens the weights reads more than that.
    """
    read = samples.median(MEMORY, Measure.READ)
    if read is None:
        return []
    speeds = [(name, samples.median(name, Measure.DECODE)) for name in names]
    shares = [
        Figure(
            name=f"memory's speed used by decode: {name}",
            value=speed * bytes_per_token / read / 1e7,
            unit="%",
        )
        for name, speed in speeds
        if speed is not None
    ]
    return [Figure(name="memory read by all threads", value=read, unit="GB/s"), *shares]
