"""A random mixture of experts of Kimi K2's shape class, in INT4 as K2 is stored, beside the same in BF16.

About 50 M parameters are active for a token. The weights are random: speed does not mind. As in K2 only the
routed experts are INT4; attention, shared experts and head are BF16 on both sides.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import psutil

from inference.bench import comparison, model_files, peers
from inference.bench.comparison import Comparison
from inference.bench.contender import ContenderFailed
from inference.bench.peers import TRANSFORMERS, Field
from inference.bench.rounds import Goal
from inference.bench.workload import Measure
from inference.checkpoints import BadModelFile, conversion, random_model

_OURS_BF16 = "ours, BF16 file"
_TORCH_BF16 = "ours, BF16 by torch"
_GOALS = (
    Goal(measure=Measure.DECODE, rival=_OURS_BF16, least=2.0),
    Goal(measure=Measure.DECODE, rival=_TORCH_BF16, least=2.0),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    comparison.add_options(parser, measures=(Measure.DECODE, Measure.PREFILL, Measure.EIGHT))
    model_files.add_options(parser)


def run(options: argparse.Namespace) -> int:
    threads = options.threads or psutil.cpu_count(logical=True) or 1
    try:
        int4, bf16 = written(peers.folder() / "models", random_model.k2_for_bench())
        done = compare(int4, bf16, num_threads=threads, options=options)
    except (BadModelFile, OSError, ContenderFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(comparison.text(done))
    if options.json:
        comparison.write(options.json, [done], command=options.command)
    return 0


def written(folder: Path, config: dict[str, Any]) -> tuple[Path, Path]:
    """The model in INT4 and, the very same weights, in BF16; written once."""
    int4, bf16 = folder / "moe-int4", folder / "moe-bf16"
    if not (int4 / "config.json").exists():
        comparison.tell(f"writing {int4}")
        random_model.write(int4, config, stored="int4")
    if not (bf16 / "config.json").exists():
        comparison.tell(f"writing {bf16}")
        conversion.convert(int4, bf16)
    return int4, bf16


def compare(int4: Path, bf16: Path, *, num_threads: int, options: argparse.Namespace) -> Comparison:
    """The two, and transformers on the second. Raises ContenderFailed."""
    with Field(num_threads=num_threads, on_stage=comparison.tell) as field:
        field.add_ours(int4)
        field.add_ours(bf16, name=_OURS_BF16)
        field.add_ours(bf16, name=_TORCH_BF16, precision="bf16")
        field.add_transformers(bf16)
        samples = comparison.measure(field, num_rounds=options.rounds, measures=options.measures)
        return Comparison(
            subject=f"random mixture of experts, {num_threads} threads",
            names=field.names,
            facts={contender.name: dict(contender.facts) for contender in field.contenders},
            missing=field.missing,
            samples=samples,
            goals=(*_GOALS, Goal(measure=Measure.DECODE, rival=TRANSFORMERS, least=2.0)),
        )
